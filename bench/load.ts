/**
 * The load generator, a process of its own: a closed loop of unary calls, each caller with its next call as soon as it has its answer, or an
 * open loop at a rate. It speaks HTTP/2 itself, which costs less than a gRPC client, so that the server is what is measured. Requests are
 * encoded before the clock starts.
 */

import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import type { Latency } from "./measurement.ts";
import { commandCall, commandsOf, customerId, getOrderCall, interleaved, listOrdersCall, orderId } from "./orders.ts";
import { pace } from "./pace.ts";
import { percentiles } from "./statistics.ts";
import { type Call, framed } from "./wire.ts";

/** As many as a client with several instances has; one would make all callers share a window of bytes. */
const MAX_CONNECTIONS = 4;

/**
 * What to send: all commands of new orders, or reads spread over orders that are there, or the orders of one customer after the other, or some
 * calls, with their requests as base64, in turn until the time is over.
 */
export type Workload =
  | { readonly kind: "commands"; readonly prefix: string; readonly orders: number }
  | { readonly kind: "reads"; readonly prefix: string; readonly orders: number; readonly calls: number; readonly token: string }
  | { readonly kind: "lists"; readonly calls: number }
  | { readonly kind: "calls"; readonly path: string; readonly requests: readonly string[]; readonly seconds: number };

export interface Job {
  readonly address: string;
  readonly workload: Workload;
  /** How many call at a time in a closed loop; in an open one, how many connections there are at least. */
  readonly callers: number;
  /** Calls are due so often, however long they take. Absent: a closed loop. */
  readonly perSecond?: number;
}

export interface LoadResult {
  readonly calls: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly latency: Latency;
}

/** What the generator answers to a job. */
export type JobAnswer = { readonly result: LoadResult } | { readonly error: string };

/** Calls that follow one another, as those of one order do. */
type Chain = readonly Call[];

process.on("message", (job: Job) => {
  const answer = (message: JobAnswer) => void process.send?.(message);
  run(job).then(
    (result) => answer({ result }),
    (error: unknown) => answer({ error: String(error) }),
  );
});

async function run({ address, workload, callers, perSecond }: Job): Promise<LoadResult> {
  const chains = chainsOf(workload);
  const seconds = workload.kind === "calls" ? workload.seconds : Number.POSITIVE_INFINITY;
  const sessions = await Promise.all(Array.from({ length: Math.min(callers, MAX_CONNECTIONS) }, () => open(address)));
  try {
    if (perSecond === undefined) return await closedLoop(sessions, chains, { callers, endMs: performance.now() + seconds * 1000 });
    return await openLoop(sessions, [...chains], perSecond);
  } finally {
    for (const session of sessions) session.destroy();
  }
}

async function closedLoop(
  sessions: readonly ClientHttp2Session[],
  chains: Iterable<Chain>,
  { callers, endMs }: { readonly callers: number; readonly endMs: number },
): Promise<LoadResult> {
  const latenciesMs: number[] = [];
  // All callers take from the same.
  const waiting = chains[Symbol.iterator]();

  const caller = async (session: ClientHttp2Session): Promise<void> => {
    for (let next = waiting.next(); next.done !== true && performance.now() < endMs; next = waiting.next()) {
      for (const call of next.value) {
        const startedMs = performance.now();
        await send(session, call);
        latenciesMs.push(performance.now() - startedMs);
      }
    }
  };

  const startedMs = performance.now();
  await Promise.all(sessions.flatMap((session, index) => share(callers, sessions.length, index).map(() => caller(session))));
  const seconds = (performance.now() - startedMs) / 1000;
  const calls = latenciesMs.length;
  return { calls, seconds, perSecond: calls / seconds, latency: percentiles(Float64Array.from(latenciesMs)) };
}

/** Calls of one order share a connection: should they come late, and so all at once, they still come in their order. */
async function openLoop(sessions: readonly ClientHttp2Session[], chains: readonly Chain[], perSecond: number): Promise<LoadResult> {
  const sends = interleaved(
    chains.map((chain, index) => {
      const session = sessions[index % sessions.length];
      return session === undefined ? [] : chain.map((call) => () => send(session, call));
    }),
  );
  const { seconds, latency } = await pace(sends, perSecond);
  return { calls: sends.length, seconds, perSecond: sends.length / seconds, latency };
}

function chainsOf(workload: Workload): Iterable<Chain> {
  switch (workload.kind) {
    case "commands":
      return Array.from({ length: workload.orders }, (_, number) => commandsOf(workload.prefix, number).map(commandCall));
    case "reads": {
      // A prime step spreads neighbouring calls over all orders.
      const order = (index: number): string => orderId(workload.prefix, (index * 7919) % workload.orders);
      return Array.from({ length: workload.calls }, (_, index) => [getOrderCall(order(index), workload.token)]);
    }
    case "lists":
      return Array.from({ length: workload.calls }, (_, index) => [listOrdersCall(customerId(index))]);
    case "calls":
      return inTurn(workload.requests.map((request) => [{ path: workload.path, request: Buffer.from(request, "base64") }]));
  }
}

function* inTurn<Item>(items: readonly Item[]): Generator<Item, void> {
  while (items.length > 0) yield* items;
}

/** One entry per caller of a connection. */
function share(callers: number, connections: number, index: number): readonly undefined[] {
  return Array.from({ length: Math.ceil((callers - index) / connections) });
}

async function open(address: string): Promise<ClientHttp2Session> {
  const session = connect(`http://${address}`);
  await once(session, "connect");
  return session;
}

/** @throws {Error} the call has not ended well */
function send(session: ClientHttp2Session, { path, request }: Call): Promise<void> {
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let status: unknown;
  let message: unknown;
  const note = (headers: Readonly<Record<string, unknown>>): void => {
    status ??= headers["grpc-status"];
    message ??= headers["grpc-message"];
  };
  stream.on("response", note);
  stream.on("trailers", note);
  stream.on("error", reject);
  stream.on("close", () => {
    if (status === "0") resolve();
    else reject(new Error(`${path} ended with status ${String(status)}: ${String(message)}`));
  });
  stream.resume();
  stream.end(framed(request));
  return promise;
}
