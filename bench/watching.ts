/** Changes as they reach those who watch a list, or an order each: how long after the receipt, how many a second, and what it costs in memory. */

import { create, toBinary } from "@bufbuild/protobuf";
import { CommandStage } from "../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import {
  OrderQueryService,
  WatchOrderRequestSchema,
  WatchOrdersRequestSchema,
} from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { startDevProcess } from "../test/support/dev-process.ts";
import { createGrpcClient, type GrpcClient } from "../test/support/grpc-client.ts";
import { newOrder } from "../test/support/orders.ts";
import { count } from "./catching-up.ts";
import type { Addresses } from "./freshness.ts";
import type { Bench, Latency, Measurement, Row } from "./measurement.ts";
import { pace } from "./pace.ts";
import { residentMb, startEcho, startWatchers, type Watchers } from "./processes.ts";
import { percentiles } from "./statistics.ts";
import type { Delivery, WatchMethod } from "./watchers.ts";
import { nowMs } from "./wire.ts";

const { createOrder, changeLineQuantity } = OrderCommandService.method;

/** Those who call as fast as they are answered. */
const CALLERS = 16;

interface Audience {
  readonly method: WatchMethod;
  readonly watchers: number;
  readonly orders: number;
  /** Changes that are offered, of one order after the other. */
  readonly perSecond: number;
}

/** A list's changes go to all, an order's to its five. */
const audiences: readonly Audience[] = [
  { method: "watchOrders", watchers: 100, orders: 50, perSecond: 50 },
  { method: "watchOrder", watchers: 1_000, orders: 200, perSecond: 100 },
];

const QUICK_SHARE = 10;

const LINE_ID = "1";
const MAX_QUANTITY = 1_000;
const CUSTOMER = "watched";

/** A running system, and the process whose memory counts. */
export interface Watched extends Addresses {
  readonly pid: number;
}

export const watching: Measurement = {
  name: "watching",
  summary: "from a command's receipt to those who watch, changes/s delivered, and memory, beside a gRPC echo",
  async run(bench) {
    await using own = await startDevProcess();
    return await measureWatching(bench, own);
  },
};

export async function measureWatching(bench: Bench, own: Watched): Promise<readonly Row[]> {
  await using watchers = startWatchers();
  const rows: Row[] = [];
  for (const audience of audiences) rows.push(...(await measureAudience(bench, { own, watchers, audience: scaled(bench, audience) })));
  return rows;
}

function scaled({ quick }: Bench, audience: Audience): Audience {
  return quick ? { ...audience, watchers: audience.watchers / QUICK_SHARE, orders: audience.orders / QUICK_SHARE } : audience;
}

interface AudienceOptions {
  readonly own: Watched;
  readonly watchers: Watchers;
  readonly audience: Audience;
}

async function measureAudience(bench: Bench, { own, watchers, audience }: AudienceOptions): Promise<readonly Row[]> {
  const name = nameOf(audience);
  const orderIds = Array.from({ length: audience.orders }, (_, index) => `${audience.method}-${index}`);
  using client = createGrpcClient(own.commandAddress);
  await Promise.all(orderIds.map((orderId) => client.call(createOrder, draft(orderId))));
  await using echo = await startEcho({ getOrder: await readOrder(own.queryAddress, orderIds[0] ?? "") });
  const before = residentMb(own.pid);
  bench.progress(`${name}: echo`);
  const ceiling = await measureDelivery(bench, { watchers, audience, orderIds, commandAddress: echo.address, queryAddress: echo.address });
  bench.progress(name);
  const found = await measureDelivery(bench, { ...own, watchers, audience, orderIds });
  const rowsFrom = (moment: "the receipt" | "the call", latency: Latency, peer?: Latency) =>
    (["p50Ms", "p99Ms"] as const).map(
      (percentile): Row => ({
        name: `  from ${moment} to each of them, ${percentile.slice(0, 3)}`,
        value: latency[percentile],
        unit: "ms",
        latency,
        ...(peer && { beside: [{ name: "gRPC echo", value: peer[percentile] }] }),
      }),
    );
  return [
    { name: `${name}, changes delivered`, value: found.perSecond, unit: "/s", beside: [{ name: "gRPC echo", value: ceiling.perSecond }] },
    ...rowsFrom("the receipt", found.fromReceipt),
    ...rowsFrom("the call", found.fromCall, ceiling.fromCall),
    { name: "  memory with them", value: residentMb(own.pid), unit: "MB", beside: [{ name: "without", value: before }] },
  ];
}

function nameOf({ method, watchers, orders }: Audience): string {
  return `${count(watchers)} who watch ${method === "watchOrders" ? `a list of ${orders}` : `${orders} orders`}`;
}

interface DeliveryOptions extends Addresses {
  readonly watchers: Watchers;
  readonly audience: Audience;
  readonly orderIds: readonly string[];
}

/** The same audience, with changes at a rate, and then with as many as a few callers can bring about. */
async function measureDelivery({ quick }: Bench, { watchers, audience, orderIds, ...addresses }: DeliveryOptions) {
  const { method, perSecond } = audience;
  const [warmUpSeconds, seconds] = quick ? [0.5, 0.5] : [2, 8];
  await watchers.watch({ address: addresses.queryAddress, method, requests: requestsOf(audience, orderIds) });
  using client = createGrpcClient(addresses.commandAddress);
  const changes = createChanges(client, orderIds);
  await flood(changes, warmUpSeconds);
  await watchers.finish(changes.last);
  await pace(
    Array.from({ length: perSecond * seconds }, () => changes.next),
    perSecond,
  );
  const paced = await watchers.finish(changes.last);
  const startedMs = nowMs();
  await flood(changes, seconds / 2);
  const flooded = await watchers.finish(changes.last);
  const endedMs = flooded.at(-1)?.[2] ?? startedMs;
  return {
    perSecond: (flooded.length * 1000) / (endedMs - startedMs),
    fromReceipt: latencyOf(paced, changes.receivedMs),
    fromCall: latencyOf(paced, changes.calledMs),
  };
}

interface Changes {
  /** The last version of each order, by the receipts. */
  readonly last: Readonly<Record<string, number>>;
  /** When the command that led to a version was sent, and when its receipt came. */
  readonly calledMs: ReadonlyMap<string, number>;
  readonly receivedMs: ReadonlyMap<string, number>;
  /** Changes the next order. */
  next(): Promise<void>;
}

function createChanges(client: GrpcClient, orderIds: readonly string[]): Changes {
  const last: Record<string, number> = {};
  const calledMs = new Map<string, number>();
  const receivedMs = new Map<string, number>();
  let turn = 0;
  return {
    last,
    calledMs,
    receivedMs,
    async next() {
      turn += 1;
      const orderId = orderIds[turn % orderIds.length] ?? "";
      const sentMs = nowMs();
      const { receipt } = await client.call(changeLineQuantity, { orderId, lineId: LINE_ID, quantity: 1 + (turn % MAX_QUANTITY) });
      const version = receipt?.version ?? 0;
      calledMs.set(`${orderId}/${version}`, sentMs);
      receivedMs.set(`${orderId}/${version}`, nowMs());
      last[orderId] = Math.max(last[orderId] ?? 0, version);
    },
  };
}

async function flood(changes: Changes, seconds: number): Promise<void> {
  const endMs = nowMs() + seconds * 1000;
  const caller = async (): Promise<void> => {
    while (nowMs() < endMs) await changes.next();
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

/** A delivery may be noticed a moment before the receipt, which takes a way of its own. */
function latencyOf(deliveries: readonly Delivery[], since: ReadonlyMap<string, number>): Latency {
  const latencies = deliveries.flatMap(([orderId, version, atMs]) => {
    const sinceMs = since.get(`${orderId}/${version}`);
    return sinceMs === undefined ? [] : [Math.max(0, atMs - sinceMs)];
  });
  return percentiles(Float64Array.from(latencies));
}

function requestsOf({ method, watchers }: Audience, orderIds: readonly string[]): readonly string[] {
  return Array.from({ length: watchers }, (_, index) => {
    const bytes =
      method === "watchOrder"
        ? toBinary(WatchOrderRequestSchema, create(WatchOrderRequestSchema, { orderId: orderIds[index % orderIds.length] ?? "" }))
        : toBinary(WatchOrdersRequestSchema, create(WatchOrdersRequestSchema, { filter: { customerId: CUSTOMER } }));
    return Buffer.from(bytes).toString("base64");
  });
}

function draft(orderId: string) {
  const [line] = newOrder(orderId).lines;
  return {
    ...newOrder(orderId),
    customerId: CUSTOMER,
    lines: [{ ...line, lineId: LINE_ID }],
    options: { waitFor: CommandStage.PROJECTED },
  };
}

async function readOrder(address: string, orderId: string) {
  using client = createGrpcClient(address);
  return await client.call(OrderQueryService.method.getOrder, { orderId });
}
