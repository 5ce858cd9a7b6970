/** A rebuild of a view with a switch to it, beside commands and reads that go on: what it does to the reads, and how fast it is. */

import { setTimeout as delay } from "node:timers/promises";
import type { Documents } from "../internal/cqrs/documents.ts";
import { DEFAULT_PACE, startBuild } from "../internal/cqrs/projector/generation-changes.ts";
import { openCatalogue } from "../internal/cqrs/projector/generations.ts";
import { OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders as view } from "../internal/orders/projection/order.ts";
import { createGrpcClient } from "../test/support/grpc-client.ts";
import { count } from "./catching-up.ts";
import type { Bench, Latency, Row } from "./measurement.ts";
import { COMMANDS_PER_ORDER, orderId } from "./orders.ts";
import { type LoadGenerator, startLoadGenerator } from "./processes.ts";
import { medianLatency } from "./statistics.ts";

const COMMANDS_PER_SECOND = 300;
const READS_PER_SECOND = 500;
const CONNECTIONS = 8;

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
  const before: Latency[] = [];
  for (let round = 0; round < WINDOWS_BEFORE; round += 1) before.push(await load.run());
  bench.progress("the rebuild");
  const building = build(scene);
  let built: Built | undefined;
  void building.then((seconds) => (built = seconds));
  const during: Latency[] = [];
  while (built === undefined) during.push(await load.run());
  const { buildSeconds, verifySeconds } = await building;
  const [calm, busy] = [medianLatency(before), medianLatency(during)];
  const events = scene.orders * COMMANDS_PER_ORDER;
  const beside = [{ name: "before the rebuild", value: calm.p99Ms, limit: LIMIT_OF_P99 }];
  return {
    buildSeconds,
    rows: [
      { name: `rebuild of ${view.name} from ${count(events)} events, at ${DEFAULT_PACE} %`, value: events / buildSeconds, unit: "/s" },
      { name: "  its verification and the switch", value: verifySeconds, unit: "s" },
      { name: `  p99 of ${READS_PER_SECOND} GetOrder/s beside it`, value: busy.p99Ms, unit: "ms", latency: busy, beside },
    ],
  };
}

interface Windows {
  /** Commands and reads for a while. Returns the reads' latency. */
  run(): Promise<Latency>;
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
      const [, { latency }] = await Promise.all([
        commands.run({ address: commandAddress, workload: written, callers: CONNECTIONS, perSecond: COMMANDS_PER_SECOND }),
        reads.run({ address: queryAddress, workload: read, callers: CONNECTIONS, perSecond: READS_PER_SECOND }),
      ]);
      return latency;
    },
  };
}

async function tokenOf(address: string, id: string): Promise<string> {
  using client = createGrpcClient(address);
  return (await client.call(OrderQueryService.method.getOrder, { orderId: id })).consistencyToken;
}

async function build({ documents }: Scene): Promise<Built> {
  const catalogue = openCatalogue(documents);
  const startedMs = performance.now();
  const { building } = await catalogue.change(view, (entry) =>
    startBuild(entry, { version: view.version, pace: DEFAULT_PACE, nowMs: Date.now() }),
  );
  let caughtUpMs: number | undefined;
  for (;;) {
    await delay(LOOK_EVERY_MS);
    const [entry] = await catalogue.load([view]);
    if (entry?.building?.state === "failed") throw new Error(entry.building.note);
    if (entry?.building?.state === "verifying") caughtUpMs ??= performance.now();
    if (entry?.live.collection !== building?.collection) continue;
    const nowMs = performance.now();
    caughtUpMs ??= nowMs;
    return { buildSeconds: (caughtUpMs - startedMs) / 1000, verifySeconds: (nowMs - caughtUpMs) / 1000 };
  }
}
