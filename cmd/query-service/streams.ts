/** The queries that stay open: watches and subscriptions. */

import { DocumentsUnavailableError } from "../../internal/cqrs/documents.ts";
import { mergePositions, type Positions, positionsOf } from "../../internal/cqrs/positions.ts";
import { createDocumentWatch } from "../../internal/cqrs/query/document-watch.ts";
import { beginning, type EventPosition, sequencesAt, unmarkedPartitions } from "../../internal/cqrs/query/event-position.ts";
import { createEventTail } from "../../internal/cqrs/query/event-tail.ts";
import { type Freshness, NotYetVisibleError } from "../../internal/cqrs/query/freshness.ts";
import { requestHash } from "../../internal/cqrs/query/page-token.ts";
import { formatPosition, parsePosition, provePosition, type Subscription } from "../../internal/cqrs/query/position-token.ts";
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
import { unavailable } from "../../internal/grpc/errors.ts";
import type { Implementation } from "../../internal/grpc/service.ts";
import { boundedWait } from "../../internal/grpc/wait.ts";
import { orders } from "../../internal/orders/projection/order.ts";
import { orderHistory } from "../../internal/orders/projection/order-history.ts";
import { partitionsOf, subscribeOrderEvents } from "../../internal/orders/query/subscribe-order-events.ts";
import { watchOrder } from "../../internal/orders/query/watch-order.ts";
import { changedOrders, watchOrders } from "../../internal/orders/query/watch-orders.ts";
import { MAX_WAIT_MS, statusErrorOf, untilShown, untilVisible } from "./consistency.ts";

const RETRY_AFTER_SET_BACK_MS = 1_000;

export interface StreamingOptions {
  readonly freshness: Freshness;
}

type StreamingQueries = Pick<Implementation<typeof OrderQueryService>, "watchOrder" | "watchOrders" | "subscribeOrderEvents">;

export function streamingQueries({ freshness }: StreamingOptions): StreamingQueries {
  const { documents } = freshness;
  const watch = createDocumentWatch({ documents, freshness, view: orders });
  const events = createEventTail({ documents, freshness, view: orderHistory });
  const eventsOfOrders = createEventTail({ documents, freshness, view: orderHistory, alongside: [orders] });
  const changed = changedOrders(documents, eventsOfOrders, freshness);

  const open = new Set<AbortController>();
  freshness.onSetBack(() => {
    for (const stream of open) stream.abort(setBack());
  });

  return {
    watchOrder: (request, call) => untilEnded(call, (signal) => orderStates(request, call, signal)),
    watchOrders: (request, call) => untilEnded(call, (signal) => orderChanges(request, call, signal)),
    subscribeOrderEvents: (request, call) => untilEnded(call, (signal) => deliveries(request, call, signal)),
  };

  /** They end with their call, and with its reason, or when the documents have gone back. */
  async function* untilEnded<Response>(
    { signal }: Call,
    responses: (signal: AbortSignal) => AsyncIterable<Response>,
  ): AsyncGenerator<Response> {
    const ended = new AbortController();
    const abort = (): void => ended.abort(signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    open.add(ended);
    try {
      yield* responses(ended.signal);
    } catch (error) {
      throw statusErrorOf(error);
    } finally {
      open.delete(ended);
      signal.removeEventListener("abort", abort);
    }
    ended.signal.throwIfAborted();
  }

  async function* orderStates(request: WatchOrderRequest, call: Call, signal: AbortSignal) {
    await known(call);
    const wanted = await visible(request.consistencyToken, call);
    let seen = wanted;
    let isFirst = true;
    for await (const { order, applied } of watchOrder(watch, request, signal)) {
      if (isFirst && !(await freshness.confirms(orders, wanted))) throw new NotYetVisibleError("the documents have been set back");
      isFirst = false;
      seen = mergePositions(seen, positionsOf(applied));
      yield { ...(order && { order }), consistencyToken: formatToken(seen) };
    }
  }

  async function* orderChanges(request: WatchOrdersRequest, call: Call, signal: AbortSignal) {
    await known(call);
    const stream = freshness.stream(orderHistory);
    const subscription: Subscription = { stream, hash: requestHash(WatchOrdersRequestSchema, { ...request, position: "" }) };
    const from = request.position === "" ? await eventsOfOrders.end() : await proven(request.position, subscription, call);
    const changes = watchOrders(changed, { filter: request.filter, from }, signal);
    yield placeOf(subscription, from);
    for await (const { changes: batch, position } of changes) {
      yield { changes: [...batch], ...placeOf(subscription, position) };
    }
  }

  async function* deliveries(request: SubscribeOrderEventsRequest, call: Call, signal: AbortSignal) {
    await known(call);
    const stream = freshness.stream(orderHistory);
    const { start, position } = request;
    const partitions = partitionsOf(request, stream.partitions);
    const what = { ...request, start: EventStart.UNSPECIFIED, position: "" };
    const subscription: Subscription = { stream, hash: requestHash(SubscribeOrderEventsRequestSchema, what) };
    const from = position === "" ? await startOf(start, partitions) : await proven(position, subscription, call);
    yield placeOf(subscription, from);
    for await (const delivered of subscribeOrderEvents(events, { request, from, partitions: stream.partitions }, signal)) {
      yield { events: [...delivered.events], ...placeOf(subscription, delivered.position) };
    }
  }

  async function startOf(start: EventStart, partitions: readonly number[] | undefined): Promise<EventPosition> {
    return start === EventStart.END ? events.end(partitions) : beginning;
  }

  /** The position of a token, when it is visible and its events are still there. */
  async function proven(token: string, subscription: Subscription, call: Call): Promise<EventPosition> {
    const claimed = parsePosition(token, subscription);
    using wait = boundedWait(call, MAX_WAIT_MS);
    await untilShown(freshness, orderHistory, new Map([[subscription.stream.id, claimed.sequences]]), wait.signal);
    const found = await events.at(claimed.sequences);
    const [missing] = unmarkedPartitions(found).filter((partition) => !claimed.unmarked.includes(partition));
    if (missing !== undefined) throw new DocumentsUnavailableError(`the event of the position in partition ${missing} is missing`);
    provePosition(claimed, found);
    return found;
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

function placeOf(subscription: Subscription, position: EventPosition) {
  const seen = new Map([[subscription.stream.id, sequencesAt(position)]]);
  return { position: formatPosition(subscription, position), consistencyToken: formatToken(seen) };
}

function setBack() {
  const message = "the documents have been set back; go on with the last position";
  return unavailable(message, { reason: "DOCUMENTS_SET_BACK" }, RETRY_AFTER_SET_BACK_MS);
}
