/** The queries that stay open: watches and subscriptions. */

import { mergePositions, type Positions, positionsOf, type Sequences } from "../../internal/cqrs/positions.ts";
import { createDocumentWatch } from "../../internal/cqrs/query/document-watch.ts";
import { createEventTail } from "../../internal/cqrs/query/event-tail.ts";
import type { Freshness } from "../../internal/cqrs/query/freshness.ts";
import { requestHash } from "../../internal/cqrs/query/page-token.ts";
import { formatPosition, parsePosition, type Subscription } from "../../internal/cqrs/query/position-token.ts";
import { formatToken } from "../../internal/cqrs/query/token.ts";
import {
  EventStart,
  type OrderQueryService,
  type SubscribeOrderEventsRequest,
  SubscribeOrderEventsRequestSchema,
  type WatchOrderRequest,
  type WatchOrdersRequest,
  WatchOrdersRequestSchema,
} from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Call } from "../../internal/grpc/call.ts";
import type { Implementation } from "../../internal/grpc/service.ts";
import { boundedWait } from "../../internal/grpc/wait.ts";
import { orders } from "../../internal/orders/projection/order.ts";
import { orderHistory } from "../../internal/orders/projection/order-history.ts";
import { subscribeOrderEvents } from "../../internal/orders/query/subscribe-order-events.ts";
import { watchOrder } from "../../internal/orders/query/watch-order.ts";
import { changedOrders, watchOrders } from "../../internal/orders/query/watch-orders.ts";
import { MAX_WAIT_MS, statusErrorOf, untilVisible } from "./consistency.ts";

export interface StreamingOptions {
  readonly freshness: Freshness;
}

type StreamingQueries = Pick<Implementation<typeof OrderQueryService>, "watchOrder" | "watchOrders" | "subscribeOrderEvents">;

export function streamingQueries({ freshness }: StreamingOptions): StreamingQueries {
  const { documents } = freshness;
  const watch = createDocumentWatch({ documents, freshness, view: orders });
  const events = createEventTail({ documents, freshness, view: orderHistory });
  const eventsOfOrders = createEventTail({ documents, freshness, view: orderHistory, alongside: [orders] });
  const changed = changedOrders(documents, eventsOfOrders);

  return {
    watchOrder: (request, call) => untilEnded(call, orderStates(request, call)),
    watchOrders: (request, call) => untilEnded(call, orderChanges(request, call)),
    subscribeOrderEvents: (request, call) => untilEnded(call, deliveries(request, call)),
  };

  /** They end with their call, and with its reason. */
  async function* untilEnded<Response>({ signal }: Call, responses: AsyncIterable<Response>): AsyncGenerator<Response> {
    try {
      yield* responses;
    } catch (error) {
      throw statusErrorOf(error);
    }
    signal.throwIfAborted();
  }

  async function* orderStates(request: WatchOrderRequest, call: Call) {
    await known(call);
    let seen = await visible(request.consistencyToken, call);
    for await (const { order, applied } of watchOrder(watch, request, call.signal)) {
      seen = mergePositions(seen, positionsOf(applied));
      yield { ...(order && { order }), consistencyToken: formatToken(seen) };
    }
  }

  async function* orderChanges(request: WatchOrdersRequest, call: Call) {
    await known(call);
    const stream = freshness.stream(orderHistory);
    const subscription: Subscription = { stream, hash: requestHash(WatchOrdersRequestSchema, { ...request, position: "" }) };
    const from = request.position === "" ? eventsOfOrders.end() : parsePosition(request.position, subscription);
    const changes = watchOrders(changed, { filter: request.filter, from }, call.signal);
    yield placeOf(subscription, from);
    for await (const { changes: batch, position } of changes) {
      yield { changes: [...batch], ...placeOf(subscription, position) };
    }
  }

  async function* deliveries(request: SubscribeOrderEventsRequest, call: Call) {
    await known(call);
    const stream = freshness.stream(orderHistory);
    const { start, position } = request;
    const what = { ...request, start: EventStart.UNSPECIFIED, position: "" };
    const subscription: Subscription = { stream, hash: requestHash(SubscribeOrderEventsRequestSchema, what) };
    const from = position === "" ? startOf(start) : parsePosition(position, subscription);
    yield placeOf(subscription, from);
    for await (const delivered of subscribeOrderEvents(events, { request, from, partitions: stream.partitions }, call.signal)) {
      yield { events: [...delivered.events], ...placeOf(subscription, delivered.position) };
    }
  }

  function startOf(start: EventStart): Sequences {
    return start === EventStart.END ? events.end() : new Map();
  }

  async function visible(token: string, call: Call): Promise<Positions> {
    using wait = boundedWait(call, MAX_WAIT_MS);
    return await untilVisible(freshness, orders, token, wait.signal);
  }

  async function known(call: Call): Promise<void> {
    using wait = boundedWait(call, MAX_WAIT_MS);
    await freshness.known(wait.signal);
  }
}

function placeOf(subscription: Subscription, position: Sequences) {
  return { position: formatPosition(subscription, position), consistencyToken: formatToken(new Map([[subscription.stream.id, position]])) };
}
