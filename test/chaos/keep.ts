/** Keeps what a run with violations has left, in a form that a person can search. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { evidenceOf, positionKey } from "./evidence.ts";
import type { EraReport } from "./run.ts";

const folder = join(import.meta.dirname, "..", "..", ".cache", "chaos");

/** Writes faults, violations, events, positions, batches and calls, one a line, and returns where. */
export async function keep({ found, struck, violations, endings }: EraReport, name: string): Promise<string> {
  const { partitions, events, commands } = evidenceOf(found.log, found.partitions);
  const place = join(folder, name);
  await mkdir(place, { recursive: true });
  const records = new Map(
    partitions.flatMap((each) => each.events.map((record, index) => [`${each.partition}/${index}`, record] as const)),
  );
  const counters = new Map<number, number>();
  const files = {
    faults: struck.map(({ atMs, ...fault }) => ({ at: new Date(atMs), ...fault })),
    violations,
    endings,
    events: events.map(({ partition, metadata }) => {
      const index = counters.get(partition) ?? 0;
      counters.set(partition, index + 1);
      const record = records.get(`${partition}/${index}`);
      const { sequence, eventId, commandId } = metadata;
      return { partition, offset: record?.offset, at: new Date(record?.timestampMs ?? 0), sequence, eventId, commandId };
    }),
    positions: partitions.flatMap(({ partition, stateRecords }) =>
      stateRecords
        .filter(({ key }) => key === positionKey)
        .map(({ offset, value, timestampMs }) => ({
          partition,
          offset,
          at: new Date(timestampMs),
          ...fromBinary(PartitionPositionSchema, value),
        })),
    ),
    commands: commands.map(({ aggregateId, commandId, requestId, acceptedAt }) => ({
      aggregateId,
      commandId,
      requestId,
      at: acceptedAt?.seconds,
    })),
    batches: found.batches.flatMap((batches, index) => batches.map((batch) => ({ file: index, ...batch }))),
    calls: found.history.attempts.map((attempt) => ({ ...attempt, fingerprint: Buffer.from(attempt.fingerprint).toString("hex") })),
  };
  for (const [file, lines] of Object.entries(files)) {
    const text = lines.map((line) => JSON.stringify(line, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value)));
    await writeFile(join(place, `${file}.jsonl`), `${text.join("\n")}\n`);
  }
  return place;
}
