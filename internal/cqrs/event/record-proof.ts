/**
 * What tells a record from any other that may come to stand at its offset, when a log has lost its end, or was restored to an older moment,
 * and has gone on from there. An event's id does not tell: the next history has a third event of an order too.
 */

import type { LogRecord } from "../log.ts";
import { murmur2 } from "../partition.ts";

/** When the record was appended, and a hash of what it holds. */
export function recordProof({ timestampMs, value }: Pick<LogRecord, "timestampMs" | "value">): string {
  return `${timestampMs}-${(murmur2(value) >>> 0).toString(16).padStart(8, "0")}`;
}
