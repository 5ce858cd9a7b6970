/**
 * How long the partitions of a handler that ends are without decisions, with many orders in the state topic: after a crash, when the other
 * must read their state from the topic or has a copy of it on its disk, and after a clean stop.
 */

import { startBackground } from "../../internal/platform/background.ts";
import { orderDomain } from "../../test/support/order-domain.ts";
import { startProcess, type TestProcess } from "../../test/support/processes.ts";
import { count } from "../catching-up.ts";
import type { Measurement, Row } from "../measurement.ts";
import { median } from "../statistics.ts";
import { fillState, trickle } from "./fill-state.ts";
import { type KafkaBench, openLog } from "./stores.ts";
import { startWriters, type Writers } from "./writers.ts";

const ORDERS = 1_000_000;
const QUICK_ORDERS = 20_000;

const FIRST = "first";
const SECOND = "second";

export const takeover: Measurement<KafkaBench> = {
  name: "takeover",
  summary: "from the end of a handler to the first decision of its partitions by the other",
  async run(bench) {
    const { stores, quick, progress } = bench;
    const orders = quick ? QUICK_ORDERS : ORDERS;
    await stores.empty();
    await using log = await openLog(stores);
    await fillState(bench, log, orders);
    await using writers = await startWriters(log, orderDomain.topics.state.name);
    await using _trickle = startBackground((signal) => trickle(log, signal));
    progress(`handlers read ${count(orders)} orders`);
    await using first = await startProcess("command-handler", { ...stores, instance: FIRST });
    await writers.until((counts) => counts.get(FIRST) === log.partitions);
    await using _second = await startProcess("command-handler", { ...stores, instance: SECOND });
    const rounds = quick ? 1 : 3;
    const cold = await measureEnd(writers, first, "SIGKILL");
    const warm: Gap[] = [];
    const clean: Gap[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      progress(`takeover, round ${round}`);
      await first.start();
      warm.push(await measureEnd(writers, first, "SIGKILL"));
      await first.start();
      clean.push(await measureEnd(writers, first, "SIGTERM"));
    }
    return [
      ...rowsOf(`crash, ${count(orders)} orders, no local copy`, [cold]),
      ...rowsOf("crash, with a local copy", warm),
      ...rowsOf("clean stop, with a local copy", clean),
    ];
  },
};

/** From the signal on. */
interface Gap {
  readonly firstSeconds: number;
  readonly allSeconds: number;
}

/** Ends the first handler once both write to their halves. */
async function measureEnd(writers: Writers, first: TestProcess, signal: "SIGKILL" | "SIGTERM"): Promise<Gap> {
  await writers.until((counts) => counts.get(FIRST) === counts.get(SECOND));
  const orphans = writers.partitionsOf(FIRST);
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const ended = first.end(signal);
  await writers.until(() => orphans.some((partition) => writers.of(partition) === SECOND));
  const firstSeconds = seconds();
  await writers.until(() => orphans.every((partition) => writers.of(partition) === SECOND));
  const allSeconds = seconds();
  await ended;
  return { firstSeconds, allSeconds };
}

function rowsOf(name: string, gaps: readonly Gap[]): readonly Row[] {
  return [
    { name: `takeover after a ${name}`, value: median(gaps.map(({ firstSeconds }) => firstSeconds)), unit: "s" },
    { name: "  of all its partitions", value: median(gaps.map(({ allSeconds }) => allSeconds)), unit: "s" },
  ];
}
