/** The dead letters of the log, and what became of each. */

import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { LogRecord } from "../../../internal/cqrs/log.ts";
import { presentRecords, type ReadableLog } from "../../../internal/cqrs/present-records.ts";
import { type DeadLetter, type DeadLetterResolution, DeadLetterSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderTopics } from "../domain.ts";

/** As many as the contract says; short enough to be typed. */
const ID_DIGITS = 12;

export interface Letter {
  readonly id: string;
  /** When the command was found to be one, in milliseconds since 1970. */
  readonly foundAtMs: number;
  readonly content: DeadLetter;
  /** Absent: it is open. */
  readonly resolution?: DeadLetterResolution;
}

/** In the order of their partitions. A letter that lies there twice is one. */
export async function loadLetters(log: ReadableLog, partitions: number): Promise<readonly Letter[]> {
  const letters = new Map<string, Letter>();
  for (let partition = 0; partition < partitions; partition += 1) {
    for await (const batch of presentRecords(log, { topic: orderTopics.deadLetters.name, partition })) {
      for (const record of batch) note(letters, record);
    }
  }
  return [...letters.values()];
}

function note(letters: Map<string, Letter>, record: LogRecord): void {
  const content = fromBinary(DeadLetterSchema, record.value);
  const { resolution } = content;
  if (resolution === undefined) {
    const id = createHash("sha256").update(record.value).digest("hex").slice(0, ID_DIGITS);
    if (!letters.has(id)) letters.set(id, { id, foundAtMs: record.timestampMs, content });
    return;
  }
  const letter = letters.get(resolution.letterId);
  if (letter !== undefined && letter.resolution === undefined) letters.set(letter.id, { ...letter, resolution });
}
