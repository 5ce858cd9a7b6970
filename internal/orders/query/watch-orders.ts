import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Condition, type DocumentReader, DocumentsUnavailableError, type StoredDocument } from "../../cqrs/documents.ts";
import { appliedIn, positionAt, type Sequences } from "../../cqrs/positions.ts";
import type { EventChunk, EventTail } from "../../cqrs/query/event-tail.ts";
import type { Freshness } from "../../cqrs/query/freshness.ts";
import { matches } from "../../cqrs/query/matches.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { OrderChangeSchema, OrderFilter } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { inBatches } from "./in-batches.ts";
import { conditionsOf } from "./list-orders.ts";

watchOrders.view = orders;

/** What an order is created with and keeps: one that does not match in these never did. */
const lastingFields: readonly string[] = ["customerId", "currencyCode", "createdAt"];

/** The order's length counts; the rest of a change is small. */
const ID_BYTES = 64;

type OrderChange = MessageInitShape<typeof OrderChangeSchema>;

export interface OrderChanges {
  readonly changes: readonly OrderChange[];
  /** Covers these changes and all before. */
  readonly position: Sequences;
}

/** The orders that events changed, loaded once for all who watch. */
export interface ChangedOrders {
  readonly tail: EventTail<OrderEvent>;
  load(chunk: EventChunk<OrderEvent>): Promise<readonly StoredDocument[]>;
}

export function changedOrders(
  documents: Pick<DocumentReader, "load">,
  tail: EventTail<OrderEvent>,
  freshness: Pick<Freshness, "confirms">,
): ChangedOrders {
  const loads = new WeakMap<EventChunk<OrderEvent>, Promise<readonly StoredDocument[]>>();
  const load = async ({ events, ...place }: EventChunk<OrderEvent>): Promise<readonly StoredDocument[]> => {
    const ids = new Set(events.map(({ metadata }) => metadata?.aggregateId ?? ""));
    const found = await documents.load(orders.collection.name, [...ids]);
    // An order that is not there any more would be passed over.
    if (!(await freshness.confirms(orders, positionAt(place)))) throw new DocumentsUnavailableError("the orders have been set back");
    return found.filter((document) => document !== undefined);
  };
  return {
    tail,
    load(chunk) {
      const known = loads.get(chunk);
      if (known !== undefined) return known;
      const loading = load(chunk);
      loads.set(chunk, loading);
      loading.catch(() => loads.delete(chunk));
      return loading;
    },
  };
}

/** @throws {QueryArgumentError} at once: the filter cannot be answered */
export function watchOrders(
  changed: ChangedOrders,
  { filter, from }: { readonly filter: OrderFilter | undefined; readonly from: Sequences },
  signal: AbortSignal,
): AsyncGenerator<OrderChanges> {
  return changesOf(changed, { conditions: filter === undefined ? [] : conditionsOf(filter), from }, signal);
}

async function* changesOf(
  changed: ChangedOrders,
  { conditions, from }: { readonly conditions: readonly Condition[]; readonly from: Sequences },
  signal: AbortSignal,
): AsyncGenerator<OrderChanges> {
  const lasting = conditions.filter(({ field }) => lastingFields.includes(field));
  let position = from;
  for await (const chunk of changed.tail.follow(from, {}, signal)) {
    const changes = (await changed.load(chunk)).flatMap((document): readonly OrderChange[] => {
      if (changesAgain(document, chunk) || !matches(document.fields, lasting)) return [];
      if (!matches(document.fields, conditions)) return [{ change: { case: "leftOrderId", value: document.id } }];
      return [{ change: { case: "order", value: orders.decode(document.fields) } }];
    });
    const before = position;
    position = new Map(position).set(chunk.partition, chunk.sequence);
    const batches = inBatches(changes, sizeOf);
    // Who is cut off in between gets all of the chunk again.
    for (const [index, batch] of batches.entries()) yield { changes: batch, position: index === batches.length - 1 ? position : before };
  }
}

/** A chunk that could be read already has a later event of it: then the order is shown once, there. */
function changesAgain({ applied }: StoredDocument, { stream, partition, sequence, end }: EventChunk<OrderEvent>): boolean {
  const last = appliedIn(applied, stream, partition);
  return last > sequence && last <= end;
}

function sizeOf({ change }: OrderChange): number {
  return ID_BYTES + (change?.case === "order" ? toBinary(OrderSchema, change.value as never).length : 0);
}
