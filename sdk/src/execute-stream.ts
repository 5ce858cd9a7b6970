import { ConnectError, type Transport } from "@connectrpc/connect";
import { isRetryable } from "./errors.ts";
import { type ExecuteRequest, type ExecuteResponse, OrderCommandService } from "./gen/headwater/orders/v1/order_command_service_pb.ts";
import { backoffMs, delay } from "./retry.ts";

/** How long the server has to end its side of a stream on which nothing is due any more. */
const CLOSE_MS = 1_000;

/** What is heard of a stream. */
export interface ExecuteStreamEvents {
  onAnswer(answer: ExecuteResponse): void;
  /** The server does not take the stream: none of the requests will be answered. */
  onRefused(error: ConnectError): void;
}

/** Keeps an `Execute` stream open while answers are due. When it breaks, opens another one and sends everything unanswered again. */
export class ExecuteStream {
  readonly #transport: Transport;
  readonly #headers: HeadersInit | undefined;
  readonly #events: ExecuteStreamEvents;
  readonly #unanswered = new Map<string, ExecuteRequest>();
  readonly #closed = new AbortController();
  #outbox: Outbox<ExecuteRequest> | undefined;
  #running: Promise<void> | undefined;

  constructor(transport: Transport, headers: HeadersInit | undefined, events: ExecuteStreamEvents) {
    this.#transport = transport;
    this.#headers = headers;
    this.#events = events;
  }

  send(commandId: string, request: ExecuteRequest): void {
    this.#unanswered.set(commandId, request);
    this.#outbox?.push(request);
    this.#running ??= this.#run();
  }

  /** Stops waiting for an answer. */
  forget(commandId: string): void {
    this.#unanswered.delete(commandId);
  }

  async close(): Promise<void> {
    this.#outbox?.end();
    await Promise.race([this.#running, delay(CLOSE_MS, this.#closed.signal).catch(() => {})]);
    this.#closed.abort();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (this.#unanswered.size > 0) {
      const error = await this.#exchange(() => {
        failures = 0;
      });
      if (error !== undefined && !isRetryable(error)) {
        this.#unanswered.clear();
        this.#events.onRefused(error);
      }
      if (this.#unanswered.size > 0) await delay(backoffMs(failures++, error));
    }
    this.#running = undefined;
  }

  /** One stream, from its opening to its end; returns what broke it. */
  async #exchange(onProgress: () => void): Promise<ConnectError | undefined> {
    const outbox = new Outbox(this.#unanswered.values());
    this.#outbox = outbox;
    try {
      const { signal } = this.#closed;
      const stream = await this.#transport.stream(OrderCommandService.method.execute, signal, undefined, this.#headers, outbox);
      for await (const answer of stream.message) {
        onProgress();
        this.#unanswered.delete(answer.commandId);
        this.#events.onAnswer(answer);
      }
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    } finally {
      this.#outbox = undefined;
      outbox.end();
    }
  }
}

/** What is to be sent on one stream. */
class Outbox<Item> implements AsyncIterable<Item> {
  readonly #items: Item[];
  #ended = false;
  #wake: () => void = () => {};

  constructor(items: Iterable<Item>) {
    this.#items = [...items];
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    while (true) {
      for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) yield item;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
