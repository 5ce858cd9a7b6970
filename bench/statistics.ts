import type { Latency } from "./measurement.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** Sorts the latencies. */
export function percentiles(latenciesMs: Float64Array): Latency {
  latenciesMs.sort();
  const at = (share: number): number => latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? Number.NaN;
  return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}

/** Each percentile's median over several rounds. */
export function medianLatency(rounds: readonly Latency[]): Latency {
  const of = (pick: (latency: Latency) => number): number => median(rounds.map(pick));
  return { p50Ms: of(({ p50Ms }) => p50Ms), p95Ms: of(({ p95Ms }) => p95Ms), p99Ms: of(({ p99Ms }) => p99Ms) };
}
