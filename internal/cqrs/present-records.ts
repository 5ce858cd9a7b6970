/** Reading what a log holds now, without waiting for more. */

import type { Log, LogRecord } from "./log.ts";

/** What reads it. */
export type ReadableLog = Pick<Log, "begins" | "ends" | "tail">;

/** Where to read. */
export interface Range {
  readonly topic: string;
  readonly partition: number;
  /** The first offset; what is no longer there is passed over. Default: the first record. */
  readonly from?: number;
  /** Ends before this offset. Default: the present end. */
  readonly to?: number;
}

/** The records of a partition, in batches. Who stops reading releases it. */
export async function* presentRecords(log: ReadableLog, range: Range): AsyncGenerator<readonly LogRecord[]> {
  const { topic, partition, from = 0, to } = range;
  const [begins, ends] = await Promise.all([log.begins(topic), log.ends(topic)]);
  const first = Math.max(from, begins[partition] ?? 0);
  const end = Math.min(to ?? Number.POSITIVE_INFINITY, ends[partition] ?? 0);
  if (first >= end) return;
  const stop = new AbortController();
  try {
    yield* await log.tail({ topic, partition, from: first, to: end, signal: stop.signal });
  } finally {
    stop.abort();
  }
}
