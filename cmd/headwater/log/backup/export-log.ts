/** Writes a log to a stream, a partition after the other. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Log } from "../../../../internal/cqrs/log.ts";
import { presentRecords } from "../../../../internal/cqrs/present-records.ts";
import { orderTopics } from "../../../../internal/orders/topics.ts";
import { decode } from "../decode.ts";
import { type CheckedRecord, LogChecker } from "./check.ts";
import { loadDecidedState, type Patience, untilDecided } from "./decided.ts";
import { type Footer, headerOf, type RecordLine } from "./format.ts";

export interface ExportOptions {
  readonly log: Log;
  readonly output: Writable;
  readonly patience: Patience;
  /** How many records are written, of how many there are but for state. */
  readonly onProgress: (done: number, all: number) => void;
}

/**
 * Resolves with how many records of each topic were written.
 *
 * @throws {BackupError} the log does not fit together
 * @throws {Error} commands were written meanwhile, or are not decided
 */
export async function exportLog({ log, output, patience, onProgress }: ExportOptions): Promise<Footer["records"]> {
  await untilDecided(log, patience);
  const before = await log.ends(orderTopics.commands.name);
  const all = await countRecords(log);
  const writer = createWriter(output);
  const checker = new LogChecker(log.partitions);
  await writer.write(JSON.stringify(headerOf(log, new Date())));
  const add = async (record: CheckedRecord, place: Pick<RecordLine, "offset" | "appendedAt">): Promise<void> => {
    checker.add(record);
    await writer.writeRecord(record, place);
    onProgress(writer.count(), Math.max(all, writer.count()));
  };
  for (let partition = 0; partition < log.partitions; partition += 1) {
    const state = await loadDecidedState(log, partition, patience);
    for (const { name: topic } of [orderTopics.events, orderTopics.deadLetters]) {
      for await (const batch of presentRecords(log, { topic, partition })) {
        for (const { offset, timestampMs, ...record } of batch) {
          await add({ ...record, topic }, { offset, appendedAt: new Date(timestampMs).toISOString() });
        }
      }
    }
    for (const [key, value] of state) await add({ topic: orderTopics.state.name, partition, key, value }, {});
  }
  checker.end();
  if ((await log.ends(orderTopics.commands.name)).join() !== before.join()) {
    throw new Error(
      "commands were sent while the log was exported, so its parts do not belong together: stop what sends them, and export again",
    );
  }
  return writer.end();
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
