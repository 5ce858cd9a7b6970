import { toBinary } from "@bufbuild/protobuf";
import type { Condition } from "../../cqrs/documents.ts";
import { partitionOf } from "../../cqrs/partition.ts";
import { type EventPosition, placeOfEvent } from "../../cqrs/query/event-position.ts";
import { type EventSelection, type EventTail, partitionField, sequenceField } from "../../cqrs/query/event-tail.ts";
import { inBatches } from "../../cqrs/query/in-batches.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { SubscribeOrderEventsRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orderHistory } from "../projection/order-history.ts";

subscribeOrderEvents.view = orderHistory;

export interface DeliveredEvents {
  readonly events: readonly OrderEvent[];
  /** Covers these events and all before. */
  readonly position: EventPosition;
}

export async function* subscribeOrderEvents(
  tail: EventTail<OrderEvent>,
  {
    request,
    from,
    partitions,
  }: { readonly request: SubscribeOrderEventsRequest; readonly from: EventPosition; readonly partitions: number },
  signal: AbortSignal,
): AsyncGenerator<DeliveredEvents> {
  const position = new Map(from);
  for await (const chunk of tail.follow(from, selectionOf(request, partitions), signal)) {
    const batches = inBatches(chunk.events, (event) => toBinary(OrderEventSchema, event).length);
    for (const [index, events] of batches.entries()) {
      const [last] = index === batches.length - 1 ? [] : events.slice(-1);
      position.set(chunk.partition, last === undefined ? chunk.place : placeOfEvent(chunk.partition, last));
      yield { events, position: new Map(position) };
    }
    position.set(chunk.partition, chunk.place);
  }
}

/** The partitions that have what is subscribed to; undefined: it may be any. */
export function partitionsOf({ orderId }: SubscribeOrderEventsRequest, partitions: number): readonly number[] | undefined {
  return orderId === "" ? undefined : [partitionOf(orderId, partitions)];
}

function selectionOf({ orderId, customerId }: SubscribeOrderEventsRequest, partitions: number): EventSelection<OrderEvent> {
  if (orderId === "" && customerId === "") return {};
  const ofCustomer: Condition[] = customerId === "" ? [] : [{ field: "customerId", op: "eq", value: customerId }];
  const isOfCustomer = (event: OrderEvent): boolean => customerId === "" || event.customerId === customerId;
  if (orderId === "") {
    const sort = [{ field: sequenceField, descending: false }];
    const query = (partition: number) => ({ where: [...ofCustomer, { field: partitionField, op: "eq", value: partition } as const], sort });
    return { filter: { isWanted: isOfCustomer, query } };
  }
  // The events of an order lie in one partition, in the order of its versions, which has an index.
  const where: Condition[] = [{ field: "metadata.aggregateId", op: "eq", value: orderId }, ...ofCustomer];
  const query = () => ({ where, sort: [{ field: "metadata.version", descending: false }] });
  const isWanted = (event: OrderEvent): boolean => event.metadata?.aggregateId === orderId && isOfCustomer(event);
  return { partitions: [partitionOf(orderId, partitions)], filter: { isWanted, query } };
}
