/**
 * An open loop: calls start when they are due, however long those before them take, and their latency counts from then. So a server that
 * stalls cannot hide what waited for it meanwhile.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Latency } from "./measurement.ts";
import { percentiles } from "./statistics.ts";

export interface Paced {
  readonly seconds: number;
  readonly latency: Latency;
}

/** Starts the calls evenly, so many per second, and waits until all have ended. @throws the error of the first that failed */
export async function pace(calls: readonly (() => Promise<void>)[], perSecond: number): Promise<Paced> {
  const latenciesMs = new Float64Array(calls.length);
  const failures: unknown[] = [];
  const pending: Promise<void>[] = [];
  const startedMs = performance.now();
  const dueMs = (index: number): number => startedMs + (index * 1000) / perSecond;
  const timed = async (call: () => Promise<void>, index: number): Promise<void> => {
    await call().catch((error: unknown) => failures.push(error));
    latenciesMs[index] = performance.now() - dueMs(index);
  };
  for (const [index, call] of calls.entries()) {
    while (performance.now() < dueMs(index)) await delay(Math.max(1, Math.floor(dueMs(index) - performance.now())));
    if (failures.length > 0) break;
    pending.push(timed(call, index));
  }
  await Promise.all(pending);
  if (failures.length > 0) throw failures[0];
  return { seconds: (performance.now() - startedMs) / 1000, latency: percentiles(latenciesMs) };
}
