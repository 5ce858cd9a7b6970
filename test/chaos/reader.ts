/** Reads orders back, alone and in lists, with tokens that pass from one instance to another, and looks at once where a receipt says "projected". */

import { type MongoClient, ReadConcern } from "mongodb";
import type { Order } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../../internal/orders/projection/order.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { clientOf } from "./commander.ts";
import type { Attempt, ClientHistory, Read } from "./history.ts";
import type { Random } from "./random.ts";
import { reasonOf } from "./results.ts";

export interface Reader {
  /** Reads what was just written, and what was just read from another instance. */
  readBack(session: number, attempt: Attempt, random: Random): Promise<void>;
  /** Lists a customer's orders, among them what was just written, and again at another instance. */
  list(session: number, customerId: string, attempt: Attempt, random: Random): Promise<void>;
  /** Looks for what a receipt says to be in the views, without waiting for it. */
  look(attempt: Attempt): Promise<void>;
}

export interface ReaderOptions {
  readonly queryAddresses: readonly string[];
  readonly mongo: MongoClient;
  readonly database: string;
}

const DEADLINE_MS = 3_000;
const LIST_DEADLINE_MS = 10_000;

/** Few, so that most lists have several pages. */
const PAGE = { min: 1, max: 7 } as const;

export function createReader(history: ClientHistory, { queryAddresses, mongo, database }: ReaderOptions): Reader {
  const clients = queryAddresses.map(createGrpcClient);
  const documents = mongo.db(database).collection<{ readonly _id: string }>(orders.collection.name);
  return { readBack, list, look };

  async function readBack(session: number, attempt: Attempt, random: Random): Promise<void> {
    let seen = writtenBy(attempt);
    for (const instance of [random.integer(0, 9), random.integer(0, 9)]) {
      const { orderId } = attempt;
      const startedAtMs = performance.now();
      const client = clientOf(clients, instance);
      const answer = await attemptRead(() => getOrder(client, orderId, seen.token));
      if (answer === undefined) return;
      const { order, consistencyToken: token } = answer;
      history.reads.push({ session, orderId, atLeast: seen.version, after: seen.after, startedAtMs, order });
      if (order === undefined) return;
      seen = { token, version: order.version, after: "read" };
    }
  }

  async function list(session: number, customerId: string, attempt: Attempt, random: Random): Promise<void> {
    const written = writtenBy(attempt);
    let expected = new Map([[attempt.orderId, written.version]]);
    let { token } = written;
    for (const instance of [random.integer(0, 9), random.integer(0, 9)]) {
      const startedAtMs = performance.now();
      const pageSize = random.integer(PAGE.min, PAGE.max);
      const found = await attemptRead(() => listAll(clientOf(clients, instance), customerId, pageSize, token));
      if (found === undefined) return;
      const listed = new Map(found.orders.map((order) => [order.orderId, order]));
      for (const orderId of new Set([...expected.keys(), ...listed.keys()])) {
        const read = {
          session,
          orderId,
          atLeast: expected.get(orderId) ?? 0,
          after: "list",
          startedAtMs,
          order: listed.get(orderId),
        } as const;
        if (read.order !== undefined || read.atLeast > 0) history.reads.push(read);
      }
      expected = new Map(found.orders.map(({ orderId, version }) => [orderId, version]));
      token = found.consistencyToken;
    }
  }

  async function look(attempt: Attempt): Promise<void> {
    const { orderId, commandId, startedAtMs: sentAtMs, result } = attempt;
    if (result.kind !== "ok" || result.version === undefined) return;
    const { version } = result;
    const note = (where: string, seen: number) =>
      history.sights.push({ orderId, commandId, version, where, sentAtMs, endedAtMs: performance.now(), seen });
    const lookAtService = async (client: GrpcClient, instance: number): Promise<void> => {
      const answer = await attemptRead(() => getOrder(client, orderId, ""));
      if (answer !== undefined) note(`query service ${instance}`, answer.order?.version ?? 0);
    };
    const lookAtDocument = async (): Promise<void> => {
      const readConcern = new ReadConcern("majority");
      const found = await attemptRead(() =>
        documents.findOne({ _id: orderId }, { projection: { version: 1 }, readConcern, maxTimeMS: DEADLINE_MS }),
      );
      if (found !== undefined) note("the documents", Number((found as { version?: unknown } | null)?.version ?? 0));
    };
    await Promise.all([lookAtDocument(), ...clients.map(lookAtService)]);
  }

  /** undefined: it failed, and the reason is counted. */
  async function attemptRead<Answer>(read: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await read();
    } catch (error) {
      const reason = reasonOf(error);
      history.failedReads.set(reason, (history.failedReads.get(reason) ?? 0) + 1);
      return undefined;
    }
  }
}

interface Seen {
  readonly token: string;
  readonly version: number;
  readonly after: Read["after"];
}

function writtenBy({ result }: Attempt): Seen {
  const isDecided = (result.kind === "ok" && result.version !== undefined) || result.kind === "rejected";
  const token = isDecided ? result.token : "";
  return { token, version: isDecided && token !== "" ? (result.version ?? 0) : 0, after: "write" };
}

async function getOrder(
  client: GrpcClient,
  orderId: string,
  consistencyToken: string,
): Promise<{ readonly order: Order | undefined; readonly consistencyToken: string }> {
  try {
    const answer = await client.call(OrderQueryService.method.getOrder, { orderId, consistencyToken }, { deadlineMs: DEADLINE_MS });
    return { order: answer.order, consistencyToken: answer.consistencyToken };
  } catch (error) {
    if (error instanceof CallError && error.reason === "ORDER_NOT_FOUND") return { order: undefined, consistencyToken };
    throw error;
  }
}

async function listAll(client: GrpcClient, customerId: string, pageSize: number, token: string) {
  const found: Order[] = [];
  let consistencyToken = token;
  for (let pageToken = ""; ; ) {
    const request = { filter: { customerId }, pageSize, pageToken, consistencyToken };
    const page = await client.call(OrderQueryService.method.listOrders, request, { deadlineMs: LIST_DEADLINE_MS });
    found.push(...page.orders);
    // Each page shows at least what the first one says, but may show more.
    if (pageToken === "") ({ consistencyToken } = page);
    pageToken = page.nextPageToken;
    if (pageToken === "") return { orders: found, consistencyToken };
  }
}
