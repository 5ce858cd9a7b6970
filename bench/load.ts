/**
 * The load generator, a process of its own: a closed loop of unary calls, each caller with its next call as soon as it has its answer, or an
 * open loop at a rate. It speaks HTTP/2 itself, which costs less than a gRPC client, so that the server is what is measured. Requests are
 * encoded before the clock starts.
 */

import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import type { Latency } from "./measurement.ts";
import { type Call, commandCall, commandsOf, customerId, getOrderCall, interleaved, listOrdersCall, orderId } from "./orders.ts";
import { pace } from "./pace.ts";
import { percentiles } from "./statistics.ts";

/** As many as a client with several instances has; one would make all callers share a window of bytes. */
const MAX_CONNECTIONS = 4;

/** What to send: all commands of new orders, or reads spread over orders that are there, or the orders of one customer after the other. */
export type Workload =
  | { readonly kind: "commands"; readonly prefix: string; readonly orders: number }
  | { readonly kind: "reads"; readonly prefix: string; readonly orders: number; readonly calls: number; readonly token: string }
  | { readonly kind: "lists"; readonly calls: number };

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
  const sessions = await Promise.all(Array.from({ length: Math.min(callers, MAX_CONNECTIONS) }, () => open(address)));
  try {
    return await (perSecond === undefined ? closedLoop(sessions, chains, callers) : openLoop(sessions, chains, perSecond));
  } finally {
    for (const session of sessions) session.destroy();
  }
}

async function closedLoop(sessions: readonly ClientHttp2Session[], chains: readonly Chain[], callers: number): Promise<LoadResult> {
  const latenciesMs = new Float64Array(chains.reduce((sum, chain) => sum + chain.length, 0));
  let nextChain = 0;
  let calls = 0;

  const caller = async (session: ClientHttp2Session): Promise<void> => {
    for (let chain = chains[nextChain++]; chain !== undefined; chain = chains[nextChain++]) {
      for (const call of chain) {
        const startedMs = performance.now();
        await send(session, call);
        latenciesMs[calls++] = performance.now() - startedMs;
      }
    }
  };

  const startedMs = performance.now();
  await Promise.all(sessions.flatMap((session, index) => share(callers, sessions.length, index).map(() => caller(session))));
  const seconds = (performance.now() - startedMs) / 1000;
  return { calls, seconds, perSecond: calls / seconds, latency: percentiles(latenciesMs) };
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

function chainsOf(workload: Workload): readonly Chain[] {
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
  }
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

/** A message as gRPC frames it: a byte that says it is not compressed, and its length. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}
