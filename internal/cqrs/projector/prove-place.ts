/** A projector goes on from a place only if what lies before it in the log is what was read there (P6). */

import { recordProof } from "../event/record-proof.ts";
import { presentRecords, type ReadableLog } from "../present-records.ts";
import { GapError, REBUILD } from "./gap.ts";

/** A place in a partition of a topic. */
export interface ProvenPlace {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
  /** Of the record before; empty if there is none. */
  readonly proof: string;
}

/** @throws {GapError} the record before the place is another one, or is not there */
export async function provePlace(log: ReadableLog, { topic, partition, nextOffset, proof }: ProvenPlace): Promise<void> {
  if (nextOffset === 0) return;
  const end = (await log.ends(topic))[partition] ?? 0;
  if (nextOffset > end) {
    throw new GapError(
      `partition ${partition} of ${topic} ends at offset ${end}, before what the views have applied (${nextOffset}): ${REBUILD}`,
    );
  }
  for await (const records of presentRecords(log, { topic, partition, from: nextOffset - 1, to: nextOffset })) {
    if (records.some((record) => record.offset === nextOffset - 1 && recordProof(record) === proof)) return;
  }
  throw new GapError(
    `partition ${partition} of ${topic} has another record at offset ${nextOffset - 1} than the views have applied: the log has lost its end, or was restored, and has gone on from there: ${REBUILD}`,
  );
}
