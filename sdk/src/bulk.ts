import { create, type DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { type CommandInit, type CommandName, identified } from "./commands.ts";
import { errorFromStatus, isRetryable, OrderRejectedError, typedError } from "./errors.ts";
import { ExecuteStream } from "./execute-stream.ts";
import type { Receipt } from "./gen/headwater/cqrs/v1/command_pb.ts";
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type ExecuteResponse,
  OrderCommandSchema,
} from "./gen/headwater/orders/v1/order_command_service_pb.ts";
import { backoffMs, DEFAULT_TIMEOUT_MS, MAX_WAIT_MS } from "./retry.ts";
import { mergeTokens } from "./token.ts";

/** Enough to keep a server busy that makes hundreds of decisions durable at once. */
const DEFAULT_MAX_IN_FLIGHT = 512;

/** How a bulk stream behaves. */
export interface BulkOptions {
  /** How many commands may be under way at a time; further ones wait for their turn. Default: 512. */
  readonly maxInFlight?: number;
  /** How long a command may take from its turn on, with everything that is sent again. Default: 30 s. */
  readonly timeoutMs?: number;
  /** Headers to open the stream with, such as `authorization`. */
  readonly headers?: HeadersInit;
}

/** Any command: its name, and its request. */
export type BulkCommand = { readonly [Name in CommandName]: { readonly case: Name; readonly value: CommandInit<Name> } }[CommandName];

/** Many commands on one stream. */
export interface Bulk extends AsyncDisposable {
  /** Covers every decision so far: `session({ token })` reads what was written here. */
  readonly token: string;
  /**
   * Sends a command until it is decided, and resolves with its receipt. Commands of one order are decided in the order of the calls,
   * whatever fails in between: the next one is sent when the one before is answered. Commands of different orders do not wait for each other.
   *
   * @throws {OrderRejectedError} the domain said no; later commands of the order are sent all the same
   * @throws {InvalidRequestError} the request breaks rules of the contract
   * @throws {ConnectError} everything else, such as no answer in time: then the command may have been decided
   */
  execute(command: BulkCommand): Promise<Receipt>;
  /** Waits for all answers, then ends the stream. */
  close(): Promise<void>;
}

interface Entry {
  readonly commandId: string;
  /** Entries with the same lane are sent one after the other. */
  readonly lane: string;
  readonly request: ExecuteRequest;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: Error) => void;
  deadline: number;
  timeout?: ReturnType<typeof setTimeout>;
  retry?: ReturnType<typeof setTimeout>;
  failures: number;
}

const commandSchemas = new Map(OrderCommandSchema.oneofs.flatMap(({ fields }) => fields.map((field) => [field.localName, field.message])));

/** Keeps one Execute stream open, and sends again what a broken one left unanswered. */
export class BulkStream implements Bulk {
  readonly #maxInFlight: number;
  readonly #timeoutMs: number;
  readonly #stream: ExecuteStream;
  /** Per order, the commands whose turn has come; the first of each is on the stream. */
  readonly #lanes = new Map<string, Entry[]>();
  readonly #sent = new Map<string, Entry>();
  readonly #waiting: Entry[] = [];
  #inFlight = 0;
  #token = "";
  #closing: Promise<void> | undefined;
  #onDrained: () => void = () => {};

  constructor(transport: Transport, options: BulkOptions) {
    this.#maxInFlight = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
    this.#timeoutMs = Math.min(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_WAIT_MS);
    this.#stream = new ExecuteStream(transport, options.headers, {
      onAnswer: (answer) => this.#take(answer),
      onRefused: (error) => this.#rejectAll(typedError(error)),
    });
  }

  get token(): string {
    return this.#token;
  }

  execute(command: BulkCommand): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw new ConnectError("the bulk stream is closed", Code.Canceled);
      const entry: Entry = { ...requestOf(command), resolve, reject, deadline: Number.POSITIVE_INFINITY, failures: 0 };
      if (this.#inFlight < this.#maxInFlight) this.#begin(entry);
      else this.#waiting.push(entry);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve;
      });
    }
    await this.#stream.close();
  }

  #begin(entry: Entry): void {
    this.#inFlight++;
    entry.deadline = performance.now() + this.#timeoutMs;
    entry.timeout = setTimeout(
      () => this.#finish(entry, () => entry.reject(new ConnectError("no answer in time", Code.DeadlineExceeded))),
      this.#timeoutMs,
    );
    const lane = this.#lanes.get(entry.lane);
    if (lane === undefined) {
      this.#lanes.set(entry.lane, [entry]);
      this.#send(entry);
    } else {
      lane.push(entry);
    }
  }

  #send(entry: Entry): void {
    this.#sent.set(entry.commandId, entry);
    this.#stream.send(entry.commandId, entry.request);
  }

  #take(answer: ExecuteResponse): void {
    const entry = this.#sent.get(answer.commandId);
    if (entry === undefined) return;
    const { result } = answer;
    if (result.case === "receipt") {
      this.#token = mergeTokens(this.#token, result.value.consistencyToken);
      this.#finish(entry, () => entry.resolve(result.value));
      return;
    }
    const error = result.case === "status" ? errorFromStatus(result.value) : new ConnectError("an answer without a result", Code.Internal);
    if (isRetryable(error)) {
      this.#sent.delete(entry.commandId);
      const waitMs = backoffMs(entry.failures++, error);
      if (performance.now() + waitMs >= entry.deadline) this.#finish(entry, () => entry.reject(typedError(error)));
      else entry.retry = setTimeout(() => this.#send(entry), waitMs);
      return;
    }
    const typed = typedError(error);
    if (typed instanceof OrderRejectedError) this.#token = mergeTokens(this.#token, typed.consistencyToken);
    this.#finish(entry, () => entry.reject(typed));
  }

  #finish(entry: Entry, settle: () => void): void {
    clearTimeout(entry.timeout);
    clearTimeout(entry.retry);
    this.#sent.delete(entry.commandId);
    this.#stream.forget(entry.commandId);
    this.#leaveLane(entry);
    settle();
    this.#inFlight--;
    const next = this.#waiting.shift();
    if (next !== undefined) this.#begin(next);
    else if (this.#inFlight === 0) this.#onDrained();
  }

  #leaveLane(entry: Entry): void {
    const lane = this.#lanes.get(entry.lane) ?? [];
    const index = lane.indexOf(entry);
    lane.splice(index, 1);
    const [first] = lane;
    if (first === undefined) this.#lanes.delete(entry.lane);
    else if (index === 0) this.#send(first);
  }

  #rejectAll(error: Error): void {
    const entries = [...this.#lanes.values()].flat().concat(this.#waiting);
    this.#waiting.length = 0;
    this.#lanes.clear();
    this.#sent.clear();
    this.#inFlight = 0;
    for (const entry of entries) {
      clearTimeout(entry.timeout);
      clearTimeout(entry.retry);
      entry.reject(error);
    }
    this.#onDrained();
  }
}

function requestOf(command: BulkCommand): Pick<Entry, "commandId" | "lane" | "request"> {
  const schema: DescMessage | undefined = commandSchemas.get(command.case);
  if (schema === undefined) throw new TypeError(`${command.case} is no command`);
  const { message, options } = identified(schema, command.value, (given) => given);
  // An order without an id gets one of its own from the command id.
  const lane = command.value.orderId || options.commandId;
  // Each name has its own message; a lookup by name cannot say so.
  const member = { case: command.case, value: message } as unknown as BulkCommand;
  return { commandId: options.commandId, lane, request: create(ExecuteRequestSchema, { command: { command: member } }) };
}
