/**
 * Those who watch, a process of its own: it opens a stream for each request, notes when which version of which order came, and tells it in the
 * end. It speaks HTTP/2 itself, as the load generator does.
 */

import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import type { Order } from "../internal/gen/headwater/orders/v1/order_pb.ts";
import {
  OrderQueryService,
  WatchOrderResponseSchema,
  WatchOrdersResponseSchema,
} from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createUnframing, framed, nowMs, pathOf } from "./wire.ts";

/** Half of what a connection carries. */
const STREAMS_PER_CONNECTION = 500;

/** Longer than it takes to deliver what is under way. */
const LAST_WITHIN_MS = 60_000;

export type WatchMethod = "watchOrder" | "watchOrders";

/** To watch with these requests, as base64; or to wait until each stream has shown the last version of the orders that it has shown. */
export type WatchJob =
  | { readonly kind: "watch"; readonly address: string; readonly method: WatchMethod; readonly requests: readonly string[] }
  | { readonly kind: "finish"; readonly last: Readonly<Record<string, number>> };

/** Each stream has had its first answer; or what came, on all streams. */
export type WatchAnswer = { readonly deliveries: readonly Delivery[] } | { readonly error: string };

/** When a version came, in milliseconds since 1970. */
export type Delivery = readonly [orderId: string, version: number, atMs: number];

const ASK_AGAIN_MS = 5;

const sessions: ClientHttp2Session[] = [];
let watched: readonly Watched[] = [];
let method: WatchMethod = "watchOrders";
const deliveries: Delivery[] = [];

/** The latest version of each order that a stream has shown. */
type Watched = ReadonlyMap<string, number>;

process.on("message", (job: WatchJob) => {
  const answer = (message: WatchAnswer) => void process.send?.(message);
  const run = job.kind === "watch" ? watch(job) : finish(job.last);
  run.then(
    () => answer({ deliveries: deliveries.splice(0) }),
    (error: unknown) => answer({ error: String(error) }),
  );
});

async function watch({ address, requests, ...job }: Extract<WatchJob, { kind: "watch" }>): Promise<void> {
  ({ method } = job);
  for (const session of sessions.splice(0)) session.destroy();
  const first = requests.map((request, index) => {
    if (index % STREAMS_PER_CONNECTION === 0) sessions.push(connect(`http://${address}`));
    const session = sessions.at(-1);
    if (session === undefined) throw new Error("there is no connection");
    return follow(session, request);
  });
  watched = await Promise.all(first);
}

async function finish(last: Readonly<Record<string, number>>): Promise<void> {
  const deadlineMs = performance.now() + LAST_WITHIN_MS;
  const isBehind = (stream: Watched): boolean => {
    // One who watches an order has been shown it at once, and no other.
    const orderIds = method === "watchOrder" ? [...stream.keys()] : Object.keys(last);
    return orderIds.some((orderId) => (stream.get(orderId) ?? 0) < (last[orderId] ?? 0));
  };
  while (watched.some(isBehind)) {
    if (performance.now() > deadlineMs) throw new Error("a stream does not show the last version");
    await delay(ASK_AGAIN_MS);
  }
}

/** Resolves with the first answer. */
function follow(session: ClientHttp2Session, request: string): Promise<Watched> {
  const path = pathOf(OrderQueryService.method[method]);
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
  const shown = new Map<string, number>();
  const { promise, resolve, reject } = Promise.withResolvers<Watched>();
  const note = (order: Order | undefined): void => {
    if (order === undefined) return;
    shown.set(order.orderId, order.version);
    deliveries.push([order.orderId, order.version, nowMs()]);
  };
  const unframe = createUnframing((message) => {
    for (const order of ordersIn(message)) note(order);
    resolve(shown);
  });
  stream.on("data", unframe).on("error", reject);
  stream.on("close", () => reject(new Error(`${path} has ended`)));
  stream.end(framed(Buffer.from(request, "base64")));
  return promise;
}

function ordersIn(message: Uint8Array): readonly (Order | undefined)[] {
  if (method === "watchOrder") return [fromBinary(WatchOrderResponseSchema, message).order];
  return fromBinary(WatchOrdersResponseSchema, message).changes.map(({ change }) => (change.case === "order" ? change.value : undefined));
}
