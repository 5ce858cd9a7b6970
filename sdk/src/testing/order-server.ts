/** A small server of the contract for the client's tests: decides once per command id, and fails where a test tells it to. */

import { once } from "node:events";
import { createServer, type Http2Session, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type DescMethodUnary, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { isCommand } from "../commands.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";
import { type CommandOptions, type Receipt, ReceiptSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { ConsistencyTokenSchema } from "../gen/headwater/cqrs/v1/token_pb.ts";
import {
  type ExecuteRequest,
  type ExecuteResponse,
  ExecuteResponseSchema,
  OrderCommandService,
} from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { mergeTokens } from "../token.ts";

export interface Attempt {
  readonly name: string;
  readonly orderId: string;
  readonly commandId: string;
  readonly token: string;
}

/** What survives a restart of the server, and what tests look at. */
export interface OrderStore {
  /** Every time a command or query arrived, in order. */
  readonly attempts: Attempt[];
  /** Every decision, in order. */
  readonly decisions: Attempt[];
  /** Called before an attempt is decided; may throw, wait, or kill the server. */
  before: (attempt: Attempt) => void | Promise<void>;
  /** Called when an attempt is decided and its answer is about to be sent. */
  after: (attempt: Attempt) => void | Promise<void>;
  readonly receipts: Map<string, Receipt>;
  readonly versions: Map<string, number>;
}

export function createOrderStore(): OrderStore {
  return { attempts: [], decisions: [], before: () => {}, after: () => {}, receipts: new Map(), versions: new Map() };
}

export interface OrderServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Breaks all connections without a word and stops listening, as a killed process does. */
  kill(): void;
}

export async function startOrderServer(store: OrderStore, port = 0): Promise<OrderServer> {
  const sessions = new Set<Http2Session>();
  const server = createServer(
    connectNodeAdapter({
      routes(router) {
        for (const method of OrderCommandService.methods.filter(isCommand)) {
          router.rpc(method, async (request) => ({
            receipt: await decide(store, method.localName, request as unknown as Command),
          }));
        }
        router.rpc(OrderCommandService.method.execute, (requests) => execute(store, requests));
        for (const method of OrderQueryService.methods.filter(({ methodKind }) => methodKind === "unary")) {
          router.rpc(method as DescMethodUnary, (request) => read(store, method.localName, request as unknown as Query));
        }
      },
    }),
  );
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo;
  const kill = () => {
    server.close();
    for (const session of sessions) session.socket.destroy();
  };
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}`,
    kill,
    async [Symbol.asyncDispose]() {
      kill();
    },
  };
}

/** A token of one stream, as the server would give it. */
export function tokenOf(sequences: Record<number, bigint>, stream = "test-stream"): string {
  const begun = Object.keys(sequences).map(Number);
  const partitions = begun.every((partition, index) => partition === index) ? [] : begun;
  const position = { stream, partitions, sequences: Object.values(sequences) };
  return base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions: [position] })), "url");
}

/** A refusal as the contract has it. */
export function rejection(reason: string, attempt: Attempt, code = Code.FailedPrecondition): ConnectError {
  const metadata = { aggregate_id: attempt.orderId, command_id: attempt.commandId, version: "3", consistency_token: tokenOf({ 9: 9n }) };
  const value = { reason, domain: "orders.headwater", metadata };
  return new ConnectError("it cannot be done", code, undefined, [{ desc: ErrorInfoSchema, value }]);
}

export function badRequest(field: string, description: string, reason = ""): ConnectError {
  const value = { fieldViolations: [{ field, description, reason }] };
  return new ConnectError(`${field}: ${description}`, Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value }]);
}

interface Command {
  readonly orderId: string;
  readonly options?: CommandOptions;
}

interface Query {
  readonly orderId?: string;
  readonly consistencyToken: string;
}

async function decide(store: OrderStore, name: string, command: Command): Promise<Receipt> {
  const { commandId = "", consistencyToken = "" } = command.options ?? {};
  const attempt = { name, orderId: command.orderId || `of-${commandId}`, commandId, token: consistencyToken };
  store.attempts.push(attempt);
  await store.before(attempt);
  const receipt = store.receipts.get(commandId) ?? firstReceipt(store, attempt);
  await store.after(attempt);
  return { ...receipt, consistencyToken: mergeTokens(receipt.consistencyToken, consistencyToken) };
}

function firstReceipt(store: OrderStore, attempt: Attempt): Receipt {
  const { orderId, commandId } = attempt;
  store.decisions.push(attempt);
  const version = (store.versions.get(orderId) ?? 0) + 1;
  store.versions.set(orderId, version);
  const consistencyToken = tokenOf({ [partitionOf(orderId)]: BigInt(store.decisions.length) });
  const receipt = create(ReceiptSchema, { aggregateId: orderId, commandId, version, consistencyToken });
  store.receipts.set(commandId, receipt);
  return receipt;
}

/** Answers as decisions fall. */
async function* execute(store: OrderStore, requests: AsyncIterable<ExecuteRequest>): AsyncIterable<ExecuteResponse> {
  const answers: ExecuteResponse[] = [];
  let due = 1;
  let wake = () => {};
  const done = () => {
    due--;
    wake();
  };
  const receive = async () => {
    for await (const { command } of requests) {
      due++;
      void answerOf(store, command?.command.case ?? "", command?.command.value as unknown as Command)
        .then((answer) => answers.push(answer))
        .finally(done);
    }
  };
  // It rejects when the connection breaks.
  receive().then(done, done);
  while (due > 0 || answers.length > 0) {
    for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) yield answer;
    if (due > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}

async function answerOf(store: OrderStore, name: string, command: Command): Promise<ExecuteResponse> {
  const commandId = command.options?.commandId ?? "";
  try {
    const receipt = await decide(store, name, command);
    return create(ExecuteResponseSchema, { commandId, aggregateId: receipt.aggregateId, result: { case: "receipt", value: receipt } });
  } catch (reason) {
    const { code, rawMessage, details } = ConnectError.from(reason);
    const packed = details.flatMap((detail): Any[] => ("desc" in detail ? [anyPack(detail.desc, create(detail.desc, detail.value))] : []));
    const status = create(StatusSchema, { code, message: rawMessage, details: packed });
    return create(ExecuteResponseSchema, { commandId, aggregateId: command.orderId, result: { case: "status", value: status } });
  }
}

async function read(store: OrderStore, name: string, query: Query): Promise<Record<string, unknown>> {
  const attempt = { name, orderId: query.orderId ?? "", commandId: "", token: query.consistencyToken };
  store.attempts.push(attempt);
  await store.before(attempt);
  const order = { orderId: attempt.orderId, version: store.versions.get(attempt.orderId) ?? 0 };
  const answers: Record<string, object> = {
    getOrder: { order },
    listOrders: listedOrders(store, query as unknown as { readonly pageToken: string }),
  };
  return { ...answers[name], consistencyToken: query.consistencyToken };
}

/** Pages of two. */
function listedOrders(store: OrderStore, { pageToken }: { readonly pageToken: string }): object {
  const from = Number(pageToken || "0");
  const ids = [...store.versions.keys()].sort();
  const orders = ids.slice(from, from + 2).map((orderId) => ({ orderId }));
  return { orders, nextPageToken: from + 2 < ids.length ? String(from + 2) : "" };
}

function partitionOf(orderId: string): number {
  return orderId.charCodeAt(orderId.length - 1) % 4;
}
