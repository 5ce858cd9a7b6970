/**
 * Bugs that the checker must catch: each an edit of the source, what brings it to light, and the
 * invariants that it breaks. WARNING: nothing is imported here but types, since what is loaded
 * before the edits are in place is not edited.
 */

import type { Provocation } from "./provocations.ts";

/** The variable that names the fault that a process is to have. */
export const faultVariable = "CHAOS_FAULT";

/** A change of one file. */
export interface Edit {
  readonly file: string;
  /** Must be there exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface PlantedFault extends Edit {
  readonly name: string;
  /** In other files, where the code has more than one line of defence. */
  readonly further?: readonly Edit[];
  /** What the system goes through. Default: load, and what provokes the fault. */
  readonly under?: "load" | "another log" | "large orders";
  /** What happens under load; absent: the load is enough. */
  readonly provoke?: Provocation;
  readonly breaks: RegExp;
}

export const plantedFaults: readonly PlantedFault[] = [
  {
    name: "receipts say too early that views show a command",
    file: "internal/cqrs/command/command-gateway.ts",
    find: "await progress.reached(wait.views, place, wait.signal)",
    replace: "await Promise.resolve(wait.views.slice(wait.views.length))",
    provoke: "projectors are away",
    breaks: /^I22:/,
  },
  {
    name: "one state in fifty is not kept in the copy",
    file: "internal/log/kafka/state-store.ts",
    find: "waiting.values.set(key, value);",
    replace: 'if (key.startsWith("__") || Math.random() >= 0.02) waiting.values.set(key, value);',
    provoke: "handlers are stopped again and again",
    breaks: /^I[12578]:/,
  },
  {
    name: "what a full disk does not take is believed to be in the copy",
    file: "internal/log/kafka/state-store.ts",
    find: 'if (this.#db.isTransaction) this.#db.exec("ROLLBACK");\n      throw error;',
    replace: 'if (this.#db.isTransaction) this.#db.exec("ROLLBACK");',
    // The sooner something is written, the sooner it is lost; and what a handler still remembers it does not look up.
    further: [
      { file: "internal/log/kafka/state-store.ts", find: "const MAX_WAITING = 1_000;", replace: "const MAX_WAITING = 20;" },
      {
        file: "internal/cqrs/command/snapshots.ts",
        find: "cachedBytes <= MAX_CACHED_BYTES",
        replace: "cachedBytes <= 0 * MAX_CACHED_BYTES",
      },
    ],
    provoke: "disks are full",
    breaks: /^I[12578]:/,
  },
  {
    name: "a state copy of other topics is believed",
    file: "internal/log/kafka/state-store.ts",
    find: "if (known === topicId) return;",
    replace: "if (known !== undefined) return;",
    further: [
      {
        file: "internal/log/kafka/state-reader.ts",
        find: "return found.offset === mark.offset && found.checksum === mark.checksum && found.timestampMs === mark.timestampMs;",
        replace: "return found.offset >= 0 && mark.offset >= 0;",
      },
      {
        file: "internal/cqrs/command/snapshots.ts",
        find: "if (record.stream === stream) return record;",
        replace: "if (record.stream.length + stream.length > 0) return record;",
      },
    ],
    under: "another log",
    breaks: /^I[12578]:/,
  },
  {
    name: "a subscription with a filter passes over events in silence",
    file: "internal/cqrs/query/event-tail.ts",
    find: "chunk.events.filter(isWanted)",
    replace: "chunk.events.filter((event) => isWanted(event) && Math.random() > 0.02)",
    breaks: /^I21:/,
  },
  {
    name: "what the broker refuses for good is taken for a fence",
    file: "internal/log/kafka/transactor.ts",
    find: "const known = committing ? ofCommit(error, place) : beforeCommit(error, place);",
    replace: "const known = committing ? ofCommit(error, place) : givenUp(error);",
    provoke: "large events are refused",
    breaks: /^I18: (drain|handling):/,
  },
  {
    name: "an append that the broker refuses is acknowledged",
    file: "internal/log/kafka/appender.ts",
    find: "else reject(refusal ?? failure);",
    replace: "else if (refusal === undefined) reject(failure);\n      else resolve(offsets);",
    provoke: "appends are refused",
    breaks: /^I1:/,
  },
  {
    name: "documents that went back are not noticed",
    file: "internal/cqrs/query/freshness.ts",
    find: "setBacks += 1;",
    replace: "if (setBacks >= 0) return;\n    setBacks += 1;",
    further: [
      {
        file: "internal/cqrs/query/event-tail.ts",
        find: "if (await freshness.confirms(view, positionAt({ stream, partition, sequence: end }))) return withPlace(found);",
        replace: "if (stream.length + end >= 0) return withPlace(found);",
      },
      {
        file: "internal/serving/consistency.ts",
        find: "if (await freshness.confirms(view, wanted)) return result;",
        replace: "if (wanted.size >= 0) return result;",
      },
    ],
    provoke: "documents are dropped",
    breaks: /^I(14|15|17|21):/,
  },
  {
    name: "a token of another log is accepted",
    file: "internal/cqrs/query/token.ts",
    find: "const stream = streams.find(({ id }) => id === position.stream);",
    replace: "const stream = streams.find(({ id }) => id === position.stream) ?? streams[0];",
    under: "another log",
    breaks: /^I24:/,
  },
  {
    name: "a position among events that are no more is accepted",
    file: "internal/cqrs/query/position-token.ts",
    find: "if (markOfAll(marked) === mark) return;",
    replace: "if (marked.size >= 0 && mark >= 0) return;",
    under: "another log",
    breaks: /^I24:/,
  },
  {
    name: "a fetcher holds whatever comes",
    file: "internal/log/kafka/fetcher.ts",
    find: "const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;",
    replace: "const MAX_BUFFERED_BYTES = 16 * 1024 * 1024 * 1024;",
    further: [
      {
        file: "internal/cqrs/command/command-handler.ts",
        find: "const POLL_BYTES = 4 * 1024 * 1024;",
        replace: "const POLL_BYTES = 4 * 1024 ** 3;",
      },
    ],
    under: "large orders",
    breaks: /^command-handler ended/,
  },
  {
    name: "offsets are not fenced by a generation",
    file: "internal/log/kafka/kafkajs.ts",
    find: ".writeInt32(generation)\n    .writeUVarIntString(memberId)",
    replace: '.writeInt32(-1)\n    .writeUVarIntString("")',
    provoke: "a handler stands still past its session",
    breaks: /^I[2567]:/,
  },
  {
    name: "records of aborted transactions are read",
    file: "internal/log/kafka/committed.ts",
    find: "if (!(batch.isTransactional && aborting.has(batch.producerId))) yield batch;",
    replace: "if (batch.isTransactional || !aborting.has(batch.producerId)) yield batch;",
    provoke: "handlers die before they commit",
    breaks: /^I[679]:/,
  },
  {
    name: "a takeover does not keep the state that it reads",
    file: "internal/log/kafka/state-reader.ts",
    find: "copy(fetcher.take(STATE_BATCH));",
    replace: "fetcher.take(STATE_BATCH);",
    provoke: "handlers die one after the other",
    breaks: /^I[2567]:/,
  },
  {
    name: "offsets are not part of the transaction",
    file: "internal/log/kafka/transactor.ts",
    find: "await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic, partitions }] });",
    replace: "",
    breaks: /^I9:/,
  },
  {
    name: "checksums are not compared",
    file: "internal/log/kafka/record-batch.ts",
    find: "reader.uint32() !== crc32c(bytes.subarray(start + CHECKSUM_END, end))",
    replace: "reader.uint32() < 0",
    provoke: "events are corrupted on their way",
    breaks: /^I13:/,
  },
  {
    name: "a command is acknowledged before it is in the log",
    file: "internal/cqrs/command/command-gateway.ts",
    find: "await appendInTime(metadata, partition, submission, wait.signal);",
    replace: "appendInTime(metadata, partition, submission, wait.signal).catch(() => undefined);",
    provoke: "appends are lost",
    breaks: /^I1:/,
  },
  {
    name: "a command's id is not looked up",
    file: "internal/cqrs/command/decide-command.ts",
    find: "outcomes.find(metadata.commandId)",
    replace: "undefined as Uint8Array | undefined",
    breaks: /^I2:/,
  },
  {
    name: "a repeated command is answered with the version of now",
    file: "internal/cqrs/command/decide-command.ts",
    find: "isSame ? known",
    replace: "isSame ? encode(CommandOutcomeSchema, { ...fromBinary(CommandOutcomeSchema, known), version: snapshot.version })",
    breaks: /^I1:/,
  },
  {
    name: "the same id with other facts is no conflict",
    file: "internal/cqrs/command/decide-command.ts",
    find: "isSame ? known",
    replace: "fingerprint.length > 0 ? known",
    breaks: /^I2:/,
  },
  {
    name: "the expected version is not compared",
    file: "internal/cqrs/command/decide-command.ts",
    find: "expectedVersion !== undefined && expectedVersion !== version",
    replace: "expectedVersion !== undefined && expectedVersion < 0",
    breaks: /^I12:/,
  },
  {
    name: "a decision asks the clock",
    file: "internal/cqrs/command/decide-command.ts",
    find: "metadata.recordedAt = command.acceptedAt",
    replace: 'metadata.recordedAt = { $typeName: "google.protobuf.Timestamp", seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: 7 }',
    breaks: /^I7:/,
  },
  {
    name: "older outcomes are not looked up",
    file: "internal/cqrs/command/outcomes.ts",
    find: "this.#paged?.get(commandId)",
    replace: "undefined as Page | undefined",
    breaks: /^I2:/,
  },
  {
    name: "outcomes are not kept",
    file: "internal/cqrs/command/snapshots.ts",
    find: "messages: outcomes.recent",
    replace: "messages: []",
    breaks: /^I[129]:/,
  },
  {
    name: "the state is written without its position",
    file: "internal/cqrs/command/slices.ts",
    find: "slice.records.push({ topic: topics.state.name, partition, key: POSITION_KEY, value });",
    replace: "",
    breaks: /^I[89]:/,
  },
  {
    name: "keys go to other partitions than Kafka's own",
    file: "internal/cqrs/partition.ts",
    find: "0x9747b28c",
    replace: "0x9747b28d",
    breaks: /^I(5|7|20):/,
  },
  {
    name: "a document is folded again",
    file: "internal/cqrs/projector/fold-document.ts",
    find: "sequence <= appliedIn(applied, stream, partition) || (",
    replace: "(",
    provoke: "projectors die before their checkpoints",
    breaks: /^I13:/,
  },
  {
    name: "a document is written at any revision",
    file: "internal/documents/mongo/write.ts",
    find: "filter: { _id: write.id, _revision: write.expectedRevision }",
    replace: "filter: { _id: write.id }",
    breaks: /^I13:/,
  },
  {
    name: "checkpoints are written before the documents",
    file: "internal/documents/mongo/connect.ts",
    find: "const byCollection = [",
    replace: "await writeCheckpoints(checkpoints, advanced);\n        const byCollection = [",
    provoke: "projectors die before their documents",
    breaks: /^I13:/,
  },
  {
    name: "documents are acknowledged before they are on disk",
    file: "internal/documents/mongo/connect.ts",
    find: 'writeConcern: { w: "majority", journal: true, wtimeoutMS: ANSWER_TIMEOUT_MS }',
    replace: "writeConcern: { w: 1, journal: false }",
    provoke: "MongoDB dies again and again",
    breaks: /^I(13|14|15|18):/,
  },
  {
    name: "a query does not wait for its token",
    file: "internal/serving/consistency.ts",
    find: "await freshness.waitFor(view, positions, signal);",
    replace: "await Promise.resolve(signal);",
    breaks: /^I14:/,
  },
];

/** All changes of the source that make up a fault. */
export function editsOf({ file, find, replace, further = [] }: PlantedFault): readonly Edit[] {
  return [{ file, find, replace }, ...further];
}
