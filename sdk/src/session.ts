import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { type CommandInit, type CommandName, type CommandRequest, encodable, identified, isCommand, receiptOf } from "./commands.ts";
import { InvalidRequestError, OrderRejectedError, typedError } from "./errors.ts";
import { CommandStage, type Receipt } from "./gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "./gen/headwater/orders/v1/order_command_service_pb.ts";
import type { OrderEvent } from "./gen/headwater/orders/v1/order_event_pb.ts";
import type { Order } from "./gen/headwater/orders/v1/order_pb.ts";
import {
  type CountrySales,
  type DailySales,
  OrderQueryService,
  type ProductSales,
} from "./gen/headwater/orders/v1/order_query_service_pb.ts";
import { DEFAULT_ATTEMPT_TIMEOUT_MS, DEFAULT_TIMEOUT_MS, retrying } from "./retry.ts";
import { createStreams, type Streams } from "./streams.ts";
import { mergeTokens } from "./token.ts";

type QueryRpcs = (typeof OrderQueryService)["method"];
type QueryName = { [Name in keyof QueryRpcs]: QueryRpcs[Name]["methodKind"] extends "unary" ? Name : never }[keyof QueryRpcs];
type QueryInit<Name extends QueryName> = MessageInitShape<QueryRpcs[Name]["input"]>;
type ListInit<Name extends QueryName> = Omit<QueryInit<Name>, "pageToken" | "$typeName" | "$unknown">;

/** What a caller may say about one call. */
export interface CallOptions {
  /** How long it may take in all, with its retries. Default: the session's. */
  readonly timeoutMs?: number;
  /** Gives the call up when it aborts. A command may have been decided all the same. */
  readonly signal?: AbortSignal;
  /** Headers to send with every attempt, such as `authorization`. */
  readonly headers?: HeadersInit;
}

/** What all calls of a session have in common. */
export interface SessionOptions {
  /** The token of the session to go on with, from another process or another time. Default: none. */
  readonly token?: string;
  /** How long a call may take in all, with its retries. Default: 30 s. */
  readonly timeoutMs?: number;
  /** How long one attempt may take before it is made again. A command that waits for views may take the whole time. Default: 10 s. */
  readonly attemptTimeoutMs?: number;
}

/** One method per command of the contract. Each resolves with the receipt of the decision. */
export type Commands = {
  /**
   * Sends the command until it is decided. It is decided once, however often it is sent.
   *
   * @throws {OrderRejectedError} the domain said no
   * @throws {InvalidRequestError} the request breaks rules of the contract
   * @throws {ConnectError} everything else, such as no answer in time: then the command may have been decided; sending it again with the
   * same `options.commandId` tells.
   */
  readonly [Name in CommandName]: (request: CommandInit<Name>, options?: CallOptions) => Promise<Receipt>;
};

/** One method per query of the contract that has one answer. */
export type Queries = {
  /**
   * Reads at least what this session has written and read before. Where the servers have another log now, the session forgets its token,
   * and only the first call fails.
   *
   * @throws {InvalidRequestError} the request breaks rules of the contract
   * @throws {ConnectError} everything else, such as `Code.NotFound`, or `Code.Unavailable` if the views did not catch up in time
   */
  readonly [Name in QueryName]: (request: QueryInit<Name>, options?: CallOptions) => Promise<MessageShape<QueryRpcs[Name]["output"]>>;
};

/** A caller that reads his own writes and never reads backwards, whichever servers answer and however many calls run at a time. */
export interface Session extends Commands, Queries, Streams {
  /** Covers everything that the session has written and read so far: `session({ token })` goes on from here, in any process. */
  readonly token: string;
  /** All orders that `listOrders` finds, page by page as they are consumed. */
  orders(request?: ListInit<"listOrders">, options?: CallOptions): AsyncIterable<Order>;
  /** The whole history of an order, oldest event first. */
  orderEvents(request: ListInit<"listOrderEvents">, options?: CallOptions): AsyncIterable<OrderEvent>;
  /** All days that `listDailySales` finds, oldest first. */
  dailySales(request?: ListInit<"listDailySales">, options?: CallOptions): AsyncIterable<DailySales>;
  /** All products that `listProductSales` finds. */
  productSales(request?: ListInit<"listProductSales">, options?: CallOptions): AsyncIterable<ProductSales>;
  /** All countries that `listCountrySales` finds. */
  countrySales(request?: ListInit<"listCountrySales">, options?: CallOptions): AsyncIterable<CountrySales>;
}

/** Creates a session over the transports of the two services. */
export function createSession(transports: { readonly commands: Transport; readonly queries: Transport }, options: SessionOptions): Session {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, attemptTimeoutMs = DEFAULT_ATTEMPT_TIMEOUT_MS } = options;
  let token = options.token ?? "";

  async function call<Output extends DescMessage>(
    transport: Transport,
    method: DescMethodUnary<DescMessage, Output>,
    message: MessageShape<DescMessage>,
    settings: CallOptions & { readonly attemptTimeoutMs: number; readonly givenToken: string },
  ): Promise<MessageShape<Output>> {
    const { signal, headers } = settings;
    try {
      return await retrying(
        { timeoutMs: settings.timeoutMs ?? timeoutMs, attemptTimeoutMs: settings.attemptTimeoutMs, signal },
        async (remainingMs) => (await transport.unary(method, signal, remainingMs, headers, message)).message,
      );
    } catch (reason) {
      const error = typedError(ConnectError.from(reason));
      if (error instanceof OrderRejectedError) token = mergeTokens(token, error.consistencyToken);
      // The caller hears of it once. A session that kept it would fail forever.
      if (settings.givenToken === "" && isOfAnotherLog(error)) token = "";
      throw error;
    }
  }

  const command =
    (method: DescMethodUnary) =>
    async (request: CommandRequest, callOptions: CallOptions = {}) => {
      let givenToken = "";
      const { message, options: sent } = identified(method.input, request, (given) => {
        givenToken = given;
        return mergeTokens(token, given);
      });
      const attempt = sent.waitFor === CommandStage.PROJECTED ? Number.POSITIVE_INFINITY : attemptTimeoutMs;
      const settings = { ...callOptions, attemptTimeoutMs: attempt, givenToken };
      const receipt = receiptOf(await call(transports.commands, method, message, settings));
      token = mergeTokens(token, receipt.consistencyToken);
      return receipt;
    };

  const query =
    (method: DescMethodUnary) =>
    async (request: Consistent, callOptions: CallOptions = {}) => {
      const { consistencyToken: givenToken = "" } = request;
      const consistencyToken = mergeTokens(token, givenToken);
      const message = encodable(method.input, create(method.input, { ...request, consistencyToken }));
      const answer = await call(transports.queries, method, message, { ...callOptions, attemptTimeoutMs, givenToken });
      token = mergeTokens(token, (answer as Consistent).consistencyToken ?? "");
      return answer;
    };

  // The contract's descriptors name the methods, so a new command or query needs no code here; only their types cannot be computed.
  const commands = methodsOf(OrderCommandService.methods.filter(isCommand), command) as unknown as Commands;
  const queries = methodsOf(OrderQueryService.methods.filter(isUnary), query) as unknown as Queries;
  const streams = createStreams(transports.queries, {
    timeoutMs,
    token: (given) => mergeTokens(token, given),
    onToken(received) {
      token = mergeTokens(token, received);
    },
    orders: (request, callOptions) => session.orders(request, callOptions),
  });

  const session: Session = {
    ...commands,
    ...queries,
    ...streams,
    get token() {
      return token;
    },
    async *orders(request = {}, callOptions) {
      for await (const { orders } of pages((pageToken) => queries.listOrders({ ...request, pageToken }, callOptions))) yield* orders;
    },
    async *orderEvents(request, callOptions) {
      for await (const { events } of pages((pageToken) => queries.listOrderEvents({ ...request, pageToken }, callOptions))) yield* events;
    },
    async *dailySales(request = {}, callOptions) {
      for await (const { days } of pages((pageToken) => queries.listDailySales({ ...request, pageToken }, callOptions))) yield* days;
    },
    async *productSales(request = {}, callOptions) {
      const list = pages((pageToken) => queries.listProductSales({ ...request, pageToken }, callOptions));
      for await (const { products } of list) yield* products;
    },
    async *countrySales(request = {}, callOptions) {
      const list = pages((pageToken) => queries.listCountrySales({ ...request, pageToken }, callOptions));
      for await (const { countries } of list) yield* countries;
    },
  };
  return session;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

/** The topics were created again, or it is another cluster: the token means nothing there. */
function isOfAnotherLog(error: Error): boolean {
  return error instanceof InvalidRequestError && error.violations.some(({ reason }) => reason === "TOKEN_OF_ANOTHER_STREAM");
}

type Consistent = { readonly consistencyToken?: string };

function methodsOf<Method>(methods: readonly DescMethodUnary[], implement: (method: DescMethodUnary) => Method): Record<string, Method> {
  return Object.fromEntries(methods.map((method) => [method.localName, implement(method)]));
}

async function* pages<Page extends { readonly nextPageToken: string }>(read: (pageToken: string) => Promise<Page>): AsyncIterable<Page> {
  let pageToken = "";
  do {
    const page = await read(pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
