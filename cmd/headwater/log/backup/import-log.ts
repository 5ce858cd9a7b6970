/**
 * Writes an exported log into an empty one. A mark in every partition says so until all is there: no command handler starts on a part of it.
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { pageOfKey } from "../../../../internal/cqrs/command/outcomes.ts";
import { encodePosition, IMPORT_KEY, POSITION_KEY } from "../../../../internal/cqrs/command/take-over.ts";
import type { Log, NewRecord } from "../../../../internal/cqrs/log.ts";
import { recordBytes } from "../../../../internal/cqrs/record-bytes.ts";
import { AggregateSnapshotSchema, PartitionPositionSchema } from "../../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderDomain, orderGroups, orderTopics } from "../../domain.ts";
import { Digests } from "./digests.ts";
import { type RecordLine, recordFromLine } from "./format.ts";

/** What one append takes: enough for a disk's or a broker's answer to cost little per record. */
const BATCH_RECORDS = 1_000;
const BATCH_BYTES = 1024 * 1024;

/** @throws {Error} somebody works on the log, or there is something in it */
export async function checkEmpty(log: Log): Promise<void> {
  const [handler] = await log.members(orderGroups.handler);
  if (handler !== undefined)
    throw new Error(`the command handler ${handler.instance} runs on the log: stop it, and headwater dev, until the import is done`);
  for (const { name, retention } of Object.values(orderTopics)) {
    const [begins, ends] = await Promise.all([log.begins(name), log.ends(name)]);
    const isEmpty = retention === "live" || (retention === "latest" ? !(await hasState(log)) : begins.join() === ends.join());
    if (!isEmpty)
      throw new Error(`the log is not empty, there is something in ${name}: a log is imported into a new folder, or into new topics`);
  }
}

export interface ImportOptions {
  readonly log: Log;
  /** The log that it was. */
  readonly logId: string;
  /** Of a verified file. */
  readonly lines: AsyncIterable<RecordLine>;
  readonly onProgress: (done: number) => void;
}

/** @throws {Error} what is in the log behind it is not what was written */
export async function importLog({ log, logId, lines, onProgress }: ImportOptions): Promise<void> {
  const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
  const state = orderTopics.state.name;
  const stream = log.topicId(orderTopics.events.name);
  await log.append(partitions.map((partition) => ({ topic: state, partition, key: IMPORT_KEY, value: new TextEncoder().encode(logId) })));
  const positions: NewRecord[] = [];
  const expected = new Digests();
  const batch = createBatch(log);
  let done = 0;
  for await (const line of lines) {
    const read = recordFromLine(line);
    // With its position a partition is complete.
    if (read.topic === state && read.key === POSITION_KEY) positions.push(read);
    else {
      const record = read.topic === state && pageOfKey(read.key) === undefined ? movedSnapshot(read, stream) : read;
      expected.add(record);
      await batch.add(record);
    }
    onProgress((done += 1));
  }
  await batch.flush();
  await checkWritten(log, expected);
  const nextOffsets = await log.ends(orderTopics.commands.name);
  const marks = partitions.map((partition) => ({ topic: state, partition, key: IMPORT_KEY, value: null }));
  await log.append([...positions.map((record) => movedPosition(log, record, nextOffsets[record.partition] ?? 0)), ...marks]);
}

async function hasState(log: Log): Promise<boolean> {
  for (let partition = 0; partition < log.partitions; partition += 1) {
    const keys = new Set<string>();
    for await (const values of log.latest(orderTopics.state.name, partition)) {
      for (const { key, value } of values) {
        if (value === null) keys.delete(key);
        else keys.add(key);
      }
    }
    if (keys.size > 0) return true;
  }
  return false;
}

function createBatch(log: Log) {
  let records: NewRecord[] = [];
  let bytes = 0;
  return {
    flush,
    async add(record: NewRecord): Promise<void> {
      records.push(record);
      bytes += recordBytes(record);
      if (records.length >= BATCH_RECORDS || bytes >= BATCH_BYTES) await flush();
    },
  };

  async function flush(): Promise<void> {
    const written = records;
    records = [];
    bytes = 0;
    if (written.length > 0) await log.append(written);
  }
}

/** Where a server fails, an append may write twice: a log must not begin so. */
async function checkWritten(log: Log, expected: Digests): Promise<void> {
  const found = await Digests.ofLog(log);
  const difference = expected.difference(found);
  if (difference === undefined) return;
  throw new Error(`${difference} does not hold what was written: remove the new log, its topics or its folder, and import again`);
}

/** Its versions and sequences count the events of the new topic, which are the same. */
function movedSnapshot(record: NewRecord, stream: string): NewRecord {
  const snapshot = fromBinary(AggregateSnapshotSchema, record.value ?? new Uint8Array());
  return { ...record, value: toBinary(AggregateSnapshotSchema, { ...snapshot, stream }) };
}

/** The commands of the new log are not decided yet; the sequence of the events goes on. */
function movedPosition(log: Log, record: NewRecord, nextOffset: number): NewRecord {
  const { sequence } = fromBinary(PartitionPositionSchema, record.value ?? new Uint8Array());
  const position = { nextOffset, sequence: Number(sequence), lastCommandMs: 0 };
  return { ...record, value: encodePosition(position, log, orderDomain, "import") };
}
