/** The same load on several servers in turn: what disturbs the machine meets all of them alike, and medians forget most of it. */

import type { LoadResult, Workload } from "./load.ts";
import type { Latency } from "./measurement.ts";
import type { LoadGenerator } from "./processes.ts";
import { median, medianLatency } from "./statistics.ts";

export interface Contender {
  readonly address: string;
  /** A load of about so many calls; those of a round have its number. */
  workload(calls: number, round: number): Workload;
}

export interface ComparisonOptions {
  readonly callers: number;
  readonly rounds: number;
  readonly roundSeconds: number;
}

export interface Figure {
  readonly perSecond: number;
  readonly latency: Latency;
}

/** A warm-up must be long enough for the servers' code to be compiled, and to tell how many calls a round can take. */
const WARM_UP_CALLS_PER_CALLER = 100;
const MIN_WARM_UP_CALLS = 400;

/** Measures the contenders, in their order. */
export async function compare(
  load: LoadGenerator,
  contenders: readonly Contender[],
  options: ComparisonOptions,
): Promise<readonly Figure[]> {
  const { callers, rounds, roundSeconds } = options;
  const warmUpCalls = Math.max(MIN_WARM_UP_CALLS, Math.min(callers * WARM_UP_CALLS_PER_CALLER, 10_000 * roundSeconds));
  const entries = contenders.map((contender) => ({ contender, calls: warmUpCalls, results: [] as LoadResult[] }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const entry of entries) {
      const { address, workload } = entry.contender;
      const result = await load.run({ address, callers, workload: workload(entry.calls, round) });
      if (round > 0) entry.results.push(result);
      entry.calls = Math.max(callers, Math.ceil(result.perSecond * roundSeconds));
    }
  }
  return entries.map(({ results }) => ({
    perSecond: median(results.map(({ perSecond }) => perSecond)),
    latency: medianLatency(results.map(({ latency }) => latency)),
  }));
}
