/** The queries of orders that stay open, as their RPCs answer them. */

import { DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { mergePositions, positionsOf } from "../../cqrs/positions.ts";
import { createDocumentWatch } from "../../cqrs/query/document-watch.ts";
import { beginning, type EventPosition, sequencesAt, unmarkedPartitions } from "../../cqrs/query/event-position.ts";
import { createEventTail } from "../../cqrs/query/event-tail.ts";
import { NotYetVisibleError } from "../../cqrs/query/freshness.ts";
import { requestHash } from "../../cqrs/query/page-token.ts";
import { formatPosition, parsePosition, provePosition, type Subscription } from "../../cqrs/query/position-token.ts";
import type { StreamCall, StreamSource, StreamsOf } from "../../cqrs/query/stream-query.ts";
import { formatToken } from "../../cqrs/query/token.ts";
import {
  EventStart,
  type OrderQueryService,
  type SubscribeOrderEventsRequest,
  SubscribeOrderEventsRequestSchema,
  type WatchOrderRequest,
  type WatchOrdersRequest,
  WatchOrdersRequestSchema,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { orderHistory } from "../projection/order-history.ts";
import { partitionsOf, subscribeOrderEvents } from "./subscribe-order-events.ts";
import { watchOrder } from "./watch-order.ts";
import { changedOrders, watchOrders } from "./watch-orders.ts";

export function orderStreams({ freshness }: StreamSource): StreamsOf<typeof OrderQueryService> {
  const { documents } = freshness;
  const watch = createDocumentWatch({ documents, freshness, view: orders });
  const events = createEventTail({ documents, freshness, view: orderHistory });
  const eventsOfOrders = createEventTail({ documents, freshness, view: orderHistory, alongside: [orders] });
  const changed = changedOrders(documents, eventsOfOrders, freshness);
  return { watchOrder: orderStates, watchOrders: orderChanges, subscribeOrderEvents: deliveries };

  async function* orderStates(request: WatchOrderRequest, call: StreamCall) {
    const wanted = await call.untilVisible(orders, request.consistencyToken);
    let seen = wanted;
    let isFirst = true;
    for await (const { order, applied } of watchOrder(watch, request, call.signal)) {
      if (isFirst && !(await freshness.confirms(orders, wanted))) throw new NotYetVisibleError("the documents have been set back");
      isFirst = false;
      seen = mergePositions(seen, positionsOf(applied));
      yield { ...(order && { order }), consistencyToken: formatToken(seen) };
    }
  }

  async function* orderChanges(request: WatchOrdersRequest, call: StreamCall) {
    const stream = freshness.stream(orderHistory);
    const subscription: Subscription = { stream, hash: requestHash(WatchOrdersRequestSchema, { ...request, position: "" }) };
    const from = request.position === "" ? await eventsOfOrders.end() : await proven(request.position, subscription, call);
    const changes = watchOrders(changed, { filter: request.filter, from }, call.signal);
    yield placeOf(subscription, from);
    for await (const { changes: batch, position } of changes) {
      yield { changes: [...batch], ...placeOf(subscription, position) };
    }
  }

  async function* deliveries(request: SubscribeOrderEventsRequest, call: StreamCall) {
    const stream = freshness.stream(orderHistory);
    const { start, position } = request;
    const what = { ...request, start: EventStart.UNSPECIFIED, position: "" };
    const subscription: Subscription = { stream, hash: requestHash(SubscribeOrderEventsRequestSchema, what) };
    const from =
      position === "" ? await startOf(start, partitionsOf(request, stream.partitions)) : await proven(position, subscription, call);
    yield placeOf(subscription, from);
    for await (const delivered of subscribeOrderEvents(events, { request, from, partitions: stream.partitions }, call.signal)) {
      yield { events: [...delivered.events], ...placeOf(subscription, delivered.position) };
    }
  }

  async function startOf(start: EventStart, partitions: readonly number[] | undefined): Promise<EventPosition> {
    return start === EventStart.END ? events.end(partitions) : beginning;
  }

  /** The position of a token, when it is visible and its events are still there. */
  async function proven(token: string, subscription: Subscription, call: StreamCall): Promise<EventPosition> {
    const claimed = parsePosition(token, subscription);
    await call.untilShown(orderHistory, new Map([[subscription.stream.id, claimed.sequences]]));
    const found = await events.at(claimed.sequences);
    const [missing] = unmarkedPartitions(found).filter((partition) => !claimed.unmarked.includes(partition));
    if (missing !== undefined) throw new DocumentsUnavailableError(`the event of the position in partition ${missing} is missing`);
    provePosition(claimed, found);
    return found;
  }
}

function placeOf(subscription: Subscription, position: EventPosition) {
  const seen = new Map([[subscription.stream.id, sequencesAt(position)]]);
  return { position: formatPosition(subscription, position), consistencyToken: formatToken(seen) };
}
