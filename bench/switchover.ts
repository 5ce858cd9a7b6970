/** A rebuild of a view with a switch to it, beside commands and reads that go on: how fast it is, and what it does to reads and live views. */

import { setTimeout as delay } from "node:timers/promises";
import type { Documents } from "../internal/cqrs/documents.ts";
import { DEFAULT_PACE, startBuild } from "../internal/cqrs/projector/generation-changes.ts";
import { openCatalogue } from "../internal/cqrs/projector/generations.ts";
import { OrderCommandService } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders as view } from "../internal/orders/projection/order.ts";
import { createGrpcClient } from "../test/support/grpc-client.ts";
import { newOrder } from "../test/support/orders.ts";
import { count } from "./catching-up.ts";
import type { Bench, Latency, Row } from "./measurement.ts";
import { COMMANDS_PER_ORDER, orderId } from "./orders.ts";
import { pace } from "./pace.ts";
import { type LoadGenerator, startLoadGenerator } from "./processes.ts";
import { medianLatency, percentiles } from "./statistics.ts";

const COMMANDS_PER_SECOND = 300;
const READS_PER_SECOND = 500;
const CONNECTIONS = 8;

/** Orders that are read as soon as they are there: few beside the load. */
const FRESH_PER_SECOND = 10;

const WINDOW_SECONDS = 5;
const QUICK_WINDOW_SECONDS = 1;
const WINDOWS_BEFORE = 6;

const LOOK_EVERY_MS = 100;

/** What reads may lose while a view is built beside them. */
const LIMIT_OF_P99 = 1.5;

/** Where it happens. */
export interface Scene {
  readonly commandAddress: string;
  readonly queryAddress: string;
  readonly documents: Documents;
  readonly prefix: string;
  readonly orders: number;
  /** Resolves when the process that builds has ended. */
  readonly exited: Promise<unknown>;
}

/** What was seen in a while. */
interface Seen {
  readonly reads: Latency;
  /** From the receipt of a new order to the end of a read with its token: as long as the live views take. */
  readonly freshMs: readonly number[];
}

interface Built {
  /** Until it had caught up. */
  readonly buildSeconds: number;
  /** From then until it was read: a part of it was verified. */
  readonly verifySeconds: number;
}

/** The rows, without what a ceiling could write. Any read or command that fails, or shows less than its token, fails the measurement. */
export async function measureSwitchover(
  bench: Bench,
  scene: Scene,
): Promise<{ readonly rows: readonly Row[]; readonly buildSeconds: number }> {
  await using commands = startLoadGenerator();
  await using reads = startLoadGenerator();
  const load = await windows(bench, scene, { commands, reads });
  await load.run();
  const before: Seen[] = [];
  for (let round = 0; round < WINDOWS_BEFORE; round += 1) before.push(await load.run());
  bench.progress("the rebuild");
  const building = build(scene);
  let built: Built | undefined;
  void building.then((seconds) => (built = seconds));
  const during: Seen[] = [];
  while (built === undefined) during.push(await load.run());
  const { buildSeconds, verifySeconds } = await building;
  const [calm, busy] = [summaryOf(before), summaryOf(during)];
  const events = scene.orders * COMMANDS_PER_ORDER;
  const besideOf = (value: number, limits = {}) => [{ name: "before the rebuild", value, ...limits }];
  return {
    buildSeconds,
    rows: [
      { name: `rebuild of ${view.name} from ${count(events)} events, at ${DEFAULT_PACE} %`, value: events / buildSeconds, unit: "/s" },
      { name: "  its verification and the switch", value: verifySeconds, unit: "s" },
      {
        name: `  p99 of ${READS_PER_SECOND} GetOrder/s beside it`,
        value: busy.reads.p99Ms,
        unit: "ms",
        latency: busy.reads,
        beside: besideOf(calm.reads.p99Ms, { limit: LIMIT_OF_P99 }),
      },
      {
        name: "  p99 of a new order read with its receipt's token",
        value: busy.fresh.p99Ms,
        unit: "ms",
        latency: busy.fresh,
        beside: besideOf(calm.fresh.p99Ms),
      },
    ],
  };
}

function summaryOf(seen: readonly Seen[]) {
  return {
    reads: medianLatency(seen.map(({ reads }) => reads)),
    fresh: percentiles(Float64Array.from(seen.flatMap(({ freshMs }) => freshMs))),
  };
}

interface Windows {
  /** Commands and reads for a while. */
  run(): Promise<Seen>;
}

interface Generators {
  readonly commands: LoadGenerator;
  readonly reads: LoadGenerator;
}

async function windows({ quick }: Bench, scene: Scene, { commands, reads }: Generators): Promise<Windows> {
  const { commandAddress, queryAddress, prefix, orders } = scene;
  const seconds = quick ? QUICK_WINDOW_SECONDS : WINDOW_SECONDS;
  const token = await tokenOf(queryAddress, orderId(prefix, 0));
  let number = 0;
  return {
    async run() {
      number += 1;
      const written = {
        kind: "commands",
        prefix: `beside-${number}`,
        orders: (COMMANDS_PER_SECOND * seconds) / COMMANDS_PER_ORDER,
      } as const;
      const read = { kind: "reads", prefix, orders, calls: READS_PER_SECOND * seconds, token } as const;
      const [, { latency }, freshMs] = await Promise.all([
        commands.run({ address: commandAddress, workload: written, callers: CONNECTIONS, perSecond: COMMANDS_PER_SECOND }),
        reads.run({ address: queryAddress, workload: read, callers: CONNECTIONS, perSecond: READS_PER_SECOND }),
        readFresh(scene, { name: `fresh-${number}`, seconds }),
      ]);
      return { reads: latency, freshMs };
    },
  };
}

async function readFresh({ commandAddress, queryAddress }: Scene, window: { readonly name: string; readonly seconds: number }) {
  using commands = createGrpcClient(commandAddress);
  using queries = createGrpcClient(queryAddress);
  const freshMs: number[] = [];
  const calls = Array.from({ length: FRESH_PER_SECOND * window.seconds }, (_, index) => async () => {
    const id = orderId(window.name, index);
    const { receipt } = await commands.call(OrderCommandService.method.createOrder, newOrder(id));
    const decidedMs = performance.now();
    await queries.call(OrderQueryService.method.getOrder, { orderId: id, consistencyToken: receipt?.consistencyToken ?? "" });
    freshMs.push(performance.now() - decidedMs);
  });
  await pace(calls, FRESH_PER_SECOND);
  return freshMs;
}

async function tokenOf(address: string, id: string): Promise<string> {
  using client = createGrpcClient(address);
  return (await client.call(OrderQueryService.method.getOrder, { orderId: id })).consistencyToken;
}

async function build({ documents, exited }: Scene): Promise<Built> {
  const catalogue = openCatalogue(documents);
  const startedMs = performance.now();
  const { building } = await catalogue.change(view, (entry) =>
    startBuild(entry, { version: view.version, pace: DEFAULT_PACE, nowMs: Date.now() }),
  );
  let caughtUpMs: number | undefined;
  let hasExited = false;
  void exited.then(() => (hasExited = true));
  for (;;) {
    await delay(LOOK_EVERY_MS);
    if (hasExited) throw new Error("what builds has ended");
    const [entry] = await catalogue.load([view]);
    if (entry?.building?.state === "failed") throw new Error(entry.building.note);
    if (entry?.building?.state === "verifying") caughtUpMs ??= performance.now();
    if (entry?.live.collection !== building?.collection) continue;
    const nowMs = performance.now();
    caughtUpMs ??= nowMs;
    return { buildSeconds: (caughtUpMs - startedMs) / 1000, verifySeconds: (nowMs - caughtUpMs) / 1000 };
  }
}
