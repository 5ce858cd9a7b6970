import { create, type DescMessage, type DescMethodServerStreaming, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { encodable } from "./commands.ts";
import { isRetryable, typedError } from "./errors.ts";
import type { OrderEvent } from "./gen/headwater/orders/v1/order_event_pb.ts";
import type { Order } from "./gen/headwater/orders/v1/order_pb.ts";
import {
  type OrderFilterSchema,
  OrderQueryService,
  type SubscribeOrderEventsRequestSchema,
} from "./gen/headwater/orders/v1/order_query_service_pb.ts";
import { backoffMs, delay } from "./retry.ts";

/** What a caller may say about one stream. */
export interface StreamOptions {
  /** How long it may be broken before it fails. Default: the session's. */
  readonly timeoutMs?: number;
  /** Ends the stream when it aborts, with a `ConnectError` of `Code.Canceled`. To leave the loop ends it too. */
  readonly signal?: AbortSignal;
  /** Headers to send with every attempt, such as `authorization`. */
  readonly headers?: HeadersInit;
}

/** What became of one order of a watched list. */
export type ListChange =
  /** It belongs to the list, and this is its state. */
  | { readonly case: "order"; readonly value: Order }
  /** The order with this id does not belong to the list (any more). */
  | { readonly case: "leftOrderId"; readonly value: string };

/** Events, and where the subscription stands when they are handled. */
export interface DeliveredEvents {
  readonly events: readonly OrderEvent[];
  /** Keep it with what the events brought about: `subscribeOrderEvents({ position })` goes on from here, in any process. */
  readonly position: string;
}

/**
 * Queries that stay open until the caller leaves the loop. When a server stops, is cut off, or gives up on a caller that reads slowly, they go on
 * at the next one from where they were.
 */
export interface Streams {
  /**
   * The order, as soon as there is one, and then each newer state as it changes. Whoever takes longer than the changes gets the latest only.
   *
   * @throws {InvalidRequestError} the request breaks rules of the contract
   * @throws {ConnectError} everything else, such as no server for `timeoutMs`
   */
  watchOrder(
    request: { readonly orderId: string; readonly afterVersion?: number },
    options?: StreamOptions,
  ): AsyncGenerator<Order, void, undefined>;
  /** All orders that match the filter, and then what becomes of them and of others that come to match. An order may come twice. */
  watchOrders(
    request?: { readonly filter?: MessageInitShape<typeof OrderFilterSchema> },
    options?: StreamOptions,
  ): AsyncGenerator<ListChange, void, undefined>;
  /** Events of an order, of a customer or of all, each once, those of one order in their order. The first answer may have none. */
  subscribeOrderEvents(
    request?: Omit<MessageInitShape<typeof SubscribeOrderEventsRequestSchema>, "$typeName" | "$unknown">,
    options?: StreamOptions,
  ): AsyncGenerator<DeliveredEvents, void, undefined>;
}

/** What streams need of their session. */
export interface StreamSession {
  readonly timeoutMs: number;
  /** The session's token and one given, together. */
  token(given: string): string;
  onToken(received: string): void;
  orders(request: { readonly filter?: MessageInitShape<typeof OrderFilterSchema> }, options: StreamOptions): AsyncIterable<Order>;
}

/** Creates the streams of a session. */
export function createStreams(transport: Transport, session: StreamSession): Streams {
  const { watchOrder, watchOrders, subscribeOrderEvents } = OrderQueryService.method;

  /** Makes a new request for every attempt: it says where to go on. */
  async function* resuming<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    requestOf: () => MessageInitShape<Input>,
    { timeoutMs = session.timeoutMs, signal, headers }: StreamOptions,
  ): AsyncGenerator<MessageShape<Output>, never, undefined> {
    let failures = 0;
    let brokenAt: number | undefined;
    while (true) {
      const left = new AbortController();
      let error: ConnectError | undefined;
      try {
        const ended = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
        const request = encodable(method.input, create(method.input, requestOf()));
        const answer = await transport.stream(method, ended, undefined, headers, only(request));
        for await (const response of answer.message) {
          failures = 0;
          brokenAt = undefined;
          session.onToken((response as { readonly consistencyToken?: string }).consistencyToken ?? "");
          yield response;
        }
      } catch (reason) {
        error = ConnectError.from(reason);
      } finally {
        left.abort();
      }
      brokenAt ??= performance.now();
      const waitMs = backoffMs(failures++, error);
      const isOver = signal?.aborted || performance.now() + waitMs >= brokenAt + timeoutMs;
      if (error !== undefined && (isOver || !isResumable(error))) throw typedError(error);
      await delay(waitMs, signal);
    }
  }

  return {
    async *watchOrder({ orderId, afterVersion = 0 }, options = {}) {
      let version = afterVersion;
      const request = () => ({ orderId, afterVersion: version, consistencyToken: session.token("") });
      for await (const { order } of resuming(watchOrder, request, options)) {
        if (order === undefined) continue;
        version = order.version;
        yield order;
      }
    },
    async *watchOrders({ filter } = {}, options = {}) {
      let position = "";
      const what = filter === undefined ? {} : { filter };
      for await (const response of resuming(watchOrders, () => ({ ...what, position }), options)) {
        // The session has the first response's token now: the list shows what was before the changes.
        if (position === "") for await (const order of session.orders(what, options)) yield { case: "order", value: order };
        for (const { change } of response.changes) if (change.case !== undefined) yield change;
        position = response.position;
      }
    },
    async *subscribeOrderEvents(request = {}, options = {}) {
      let position = request.position ?? "";
      for await (const response of resuming(subscribeOrderEvents, () => ({ ...request, position }), options)) {
        position = response.position;
        yield { events: response.events, position };
      }
    },
  };
}

/** A server that resets a stream because nobody read it says so in a way that the transport reports without metadata. */
function isResumable(error: ConnectError): boolean {
  return isRetryable(error) || (error.code === Code.ResourceExhausted && error.metadata.keys().next().done === true);
}

async function* only<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}
