/** Writes a log to a stream, a partition after the other. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { anyPosition } from "../../../../internal/cqrs/command/take-over.ts";
import { sequenceOf } from "../../../../internal/cqrs/event/event-lag.ts";
import type { Log, LogRecord } from "../../../../internal/cqrs/log.ts";
import { presentRecords, type Range } from "../../../../internal/cqrs/present-records.ts";
import { OrderEventSchema } from "../../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderDomain, orderTopics } from "../../domain.ts";
import { decode } from "../decode.ts";
import { type CheckedRecord, LogChecker } from "./check.ts";
import { type Cut, loadCut, type Patience, untilDecided } from "./cut.ts";
import { BackupError, type Footer, headerOf, type RecordLine } from "./format.ts";

export interface ExportOptions {
  readonly log: Log;
  readonly output: Writable;
  /** Whether all commands must be decided, and none may come meanwhile. */
  readonly settled: boolean;
  readonly patience: Patience;
  /** How many records are written, of how many there are but for state. */
  readonly onProgress: (done: number, all: number) => void;
}

/** What was written, and what was not. */
export interface Exported {
  /** How many of each topic. */
  readonly records: Footer["records"];
  /** Commands that the log has by now and whose decisions are not in the file. */
  readonly later: number;
}

/**
 * Each partition is written as it is when its turn comes.
 *
 * @throws {BackupError} the log does not fit together
 * @throws {Error} it has to be settled and is not
 */
export async function exportLog({ log, output, settled, patience, onProgress }: ExportOptions): Promise<Exported> {
  if (settled) await untilDecided(log, patience);
  const all = await countRecords(log);
  const writer = createWriter(output);
  const partitions = await decidedPartitions(log);
  const checker = new LogChecker(partitions);
  await writer.write(JSON.stringify(headerOf({ id: log.id, partitions }, new Date())));
  const add = async (record: CheckedRecord, place: Pick<RecordLine, "offset" | "appendedAt">): Promise<void> => {
    checker.add(record);
    await writer.writeRecord(record, place);
    onProgress(writer.count(), Math.max(all, writer.count()));
  };
  const decided: number[] = [];
  for (let partition = 0; partition < partitions; partition += 1) {
    const cut = await loadCut(log, partition, patience);
    for (const { name: topic } of [orderTopics.events, orderTopics.deadLetters]) {
      for await (const { offset, timestampMs, ...record } of recordsUpTo(log, cut, { topic, partition })) {
        await add({ ...record, topic }, { offset, appendedAt: new Date(timestampMs).toISOString() });
      }
    }
    for (const [key, value] of cut.state) await add({ topic: orderTopics.state.name, partition, key, value }, {});
    decided.push(cut.nextOffset);
  }
  checker.end();
  const ends = await log.ends(orderTopics.commands.name);
  const later = ends.reduce((sum, end, partition) => sum + Math.max(0, end - (decided[partition] ?? 0)), 0);
  if (settled && later > 0)
    throw new Error("commands were sent while the log was exported, so it is not all of it: stop what sends them, and export again");
  return { records: await writer.end(), later };
}

/** The events that the state covers, and the dead letters: who restores them can still look at what came a little later. */
async function* recordsUpTo(log: Log, { sequence }: Cut, range: Range): AsyncGenerator<LogRecord> {
  for await (const batch of presentRecords(log, range)) {
    for (const record of batch) {
      if (range.topic === orderTopics.events.name && (sequenceOf(OrderEventSchema, record) ?? 0) > sequence) return;
      yield record;
    }
  }
}

/** Partitions that were added have commands at most: no handler decides with them. */
async function decidedPartitions(log: Log): Promise<number> {
  const partitions = (await anyPosition({ log, domain: orderDomain }))?.partitions ?? log.partitions;
  for (const { name } of [orderTopics.events, orderTopics.deadLetters]) {
    const [begins, ends] = await Promise.all([log.begins(name), log.ends(name)]);
    const written = ends.findIndex((end, partition) => partition >= partitions && end > (begins[partition] ?? 0));
    if (written === -1) continue;
    throw new BackupError(`commands were decided with ${partitions} partitions, and there is something in partition ${written} of ${name}`);
  }
  return partitions;
}

async function countRecords(log: Log): Promise<number> {
  const spans = await Promise.all(
    [orderTopics.events, orderTopics.deadLetters].map(async ({ name }) => {
      const [begins, ends] = await Promise.all([log.begins(name), log.ends(name)]);
      return ends.reduce((sum, end, partition) => sum + end - (begins[partition] ?? 0), 0);
    }),
  );
  return spans.reduce((sum, span) => sum + span, 0);
}

function createWriter(output: Writable) {
  const hash = createHash("sha256");
  const records: Record<string, number> = {};
  let count = 0;
  return {
    count: () => count,
    write,
    async writeRecord(
      { topic, partition, key, headers, value }: CheckedRecord,
      place: Pick<RecordLine, "offset" | "appendedAt">,
    ): Promise<void> {
      records[topic] = (records[topic] ?? 0) + 1;
      count += 1;
      const decoded = decode(topic, { key, value });
      const line: RecordLine = {
        topic,
        partition,
        key,
        ...(headers === undefined ? {} : { headers }),
        value: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
        ...place,
        ...("error" in decoded ? {} : { type: decoded.type, decoded: decoded.json }),
      };
      await write(JSON.stringify(line));
    },
    async end(): Promise<Footer["records"]> {
      await write(JSON.stringify({ end: true, records, sha256: hash.digest("hex") } satisfies Footer), false);
      return records;
    },
  };

  async function write(text: string, isHashed = true): Promise<void> {
    const line = `${text}\n`;
    if (isHashed) hash.update(line);
    if (output.errored) throw output.errored;
    if (!output.write(line)) await once(output, "drain");
  }
}
