/** Bugs that the checker must catch: each an edit of the source, what brings it to light, and the invariants that it breaks. */

import { setTimeout as delay } from "node:timers/promises";
import { orderTopics } from "../../internal/orders/topics.ts";
import { dropDocuments } from "./documents.ts";
import type { Scene } from "./faults.ts";
import { changeSetting, withAdmin } from "./kafka-admin.ts";
import type { Moment } from "./points.ts";

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
  readonly provoke?: (scene: Scene) => Promise<void>;
  readonly breaks: RegExp;
}

const POINT_DEADLINE_MS = 15_000;
const RESTART_EVERY_MS = 6_000;
const SMALL_MESSAGE_BYTES = 100_000;

export const plantedFaults: readonly PlantedFault[] = [
  {
    name: "receipts say too early that views show a command",
    file: "internal/cqrs/command/command-gateway.ts",
    find: "await progress.reached(wait.views, place, wait.signal)",
    replace: "await Promise.resolve(wait.views.slice(wait.views.length))",
    breaks: /^I22:/,
  },
  {
    name: "one state in fifty is not kept in the copy",
    file: "internal/log/kafka/state-store.ts",
    find: "waiting.values.set(key, value);",
    replace: 'if (key.startsWith("__") || Math.random() >= 0.02) waiting.values.set(key, value);',
    provoke: restartHandlers,
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
    ],
    under: "another log",
    breaks: /^I[12578]:/,
  },
  {
    name: "a subscription with a filter passes over events in silence",
    file: "internal/cqrs/query/event-tail.ts",
    find: "chunk.events.filter(filter.isWanted)",
    replace: "chunk.events.filter((event) => filter.isWanted(event) && Math.random() > 0.02)",
    breaks: /^I21:/,
  },
  {
    name: "what the broker refuses for good is taken for a fence",
    file: "internal/log/kafka/transactor.ts",
    find: "const known = committing ? ofCommit(error, place) : beforeCommit(error, place);",
    replace: "const known = committing ? ofCommit(error, place) : givenUp(error);",
    provoke: refuseLargeEvents,
    breaks: /^I18: (drain|handling):/,
  },
  {
    name: "documents that went back are not noticed",
    file: "internal/cqrs/query/freshness.ts",
    find: "setBacks += 1;",
    replace: "if (setBacks >= 0) return;\n    setBacks += 1;",
    further: [
      {
        file: "internal/cqrs/query/event-tail.ts",
        find: "if (await freshness.confirms(view, positionAt({ ...chunk, sequence: chunk.end }))) return chunk;",
        replace: "if (chunk.end >= 0) return chunk;",
      },
    ],
    provoke: dropAllDocuments,
    breaks: /^I21:/,
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
    provoke: (scene) => stall(scene, "AddPartitionsToTxn", 12_000),
    breaks: /^I[2567]:/,
  },
  {
    name: "records of aborted transactions are read",
    file: "internal/log/kafka/committed.ts",
    find: "if (!(batch.isTransactional && aborting.has(batch.producerId))) yield batch;",
    replace: "if (batch.isTransactional || !aborting.has(batch.producerId)) yield batch;",
    provoke: (scene) => killHandlers(scene, "EndTxn", "before"),
    breaks: /^I[679]:/,
  },
  {
    name: "a takeover does not keep the state that it reads",
    file: "internal/log/kafka/state-reader.ts",
    find: "copy(fetcher.take(STATE_BATCH));",
    replace: "fetcher.take(STATE_BATCH);",
    provoke: async ({ system }) => {
      for (const handler of system.named("command-handler")) {
        await handler.kill("SIGKILL");
        await delay(2_000);
      }
    },
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
    provoke: corruptEvents,
    breaks: /^I13:/,
  },
  {
    name: "a command is acknowledged before it is in the log",
    file: "internal/cqrs/command/command-gateway.ts",
    find: "await appendInTime(metadata, partition, submission, wait.signal);",
    replace: "appendInTime(metadata, partition, submission, wait.signal).catch(() => undefined);",
    provoke: loseAppends,
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
    provoke: (scene) => killProjectors(scene, "checkpoints", "before"),
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
    provoke: (scene) => killProjectors(scene, "documents", "before"),
    breaks: /^I13:/,
  },
  {
    name: "documents are acknowledged before they are on disk",
    file: "internal/documents/mongo/connect.ts",
    find: 'writeConcern: { w: "majority", journal: true, wtimeoutMS: ANSWER_TIMEOUT_MS }',
    replace: "writeConcern: { w: 1, journal: false }",
    provoke: async ({ servers }) => {
      for (let round = 0; round < 5; round += 1) {
        await servers.mongo.kill();
        await servers.mongo.restart();
        await delay(2_000);
      }
    },
    breaks: /^I(13|14|15|18):/,
  },
  {
    name: "a query does not wait for its token",
    file: "cmd/query-service/consistency.ts",
    find: "await freshness.waitFor(view, positions, signal);",
    replace: "await Promise.resolve(signal);",
    breaks: /^I14:/,
  },
];

/** All changes of the source that make up a fault. */
export function editsOf({ file, find, replace, further = [] }: PlantedFault): readonly Edit[] {
  return [{ file, find, replace }, ...further];
}

/** Everything that the faults are provoked with, on a system that has none: it must pass. */
export async function provokeAll(scene: Scene): Promise<void> {
  await stall(scene, "AddPartitionsToTxn", 12_000);
  await corruptEvents(scene);
  await loseAppends(scene);
  await killHandlers(scene, "EndTxn", "before");
  await killProjectors(scene, "checkpoints", "before");
  await killProjectors(scene, "documents", "before");
}

/** Events of large orders are refused from now on, whose commands must not hold up the others. */
async function refuseLargeEvents(scene: Scene): Promise<void> {
  const { name } = orderTopics.events;
  await withAdmin(scene.servers.addresses, (admin) => changeSetting(admin, name, "max.message.bytes", String(SMALL_MESSAGE_BYTES)));
}

/** With the projectors stopped and the query services running, as the manual allows. */
async function dropAllDocuments({ servers, system, database, setBacks }: Scene): Promise<void> {
  const release = await system.hold("projector");
  const fromMs = performance.now();
  await dropDocuments(servers.mongo.uri, database).finally(release);
  setBacks.push({ fromMs, toMs: performance.now() });
}

/** Handlers begin again with nothing but their copies. */
async function restartHandlers({ system }: Scene): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await delay(RESTART_EVERY_MS);
    for (const handler of system.named("command-handler")) await handler.kill("SIGTERM");
  }
}

/** The event loop of a handler stands still past its session, before it asks for something. */
async function stall({ system }: Scene, operation: string, stallMs: number): Promise<void> {
  const [handler] = system.named("command-handler");
  await handler?.order({ operation, moment: "before", stallMs }, AbortSignal.timeout(POINT_DEADLINE_MS));
  await delay(stallMs);
}

async function killHandlers({ system }: Scene, operation: string, moment: Moment): Promise<void> {
  for (const handler of system.named("command-handler")) {
    await handler.order({ operation, moment, stallMs: null }, AbortSignal.timeout(POINT_DEADLINE_MS));
    await delay(2_000);
  }
}

async function killProjectors({ system }: Scene, operation: string, moment: Moment): Promise<void> {
  for (const projector of system.named("projector")) {
    await projector.order({ operation, moment, stallMs: null }, AbortSignal.timeout(POINT_DEADLINE_MS));
    await delay(1_000);
  }
}

/** One letter of an event changes on its way to the projectors. */
async function corruptEvents({ servers }: Scene): Promise<void> {
  const signal = AbortSignal.timeout(POINT_DEADLINE_MS);
  await Promise.all(
    servers.proxies.map((proxy) => proxy.corrupt(/headwater-projector/, Buffer.from("teapot"), Buffer.from("teapod"), signal)),
  );
}

/** Appends of a command service never arrive, and it is killed before it repeats them. */
async function loseAppends({ servers, system }: Scene): Promise<void> {
  for (const service of system.named("command-service")) {
    for (const proxy of servers.proxies) {
      proxy.hold({ client: /headwater-command-service$/, directions: ["requests"], durationMs: 4_000 });
    }
    await delay(3_000);
    for (const proxy of servers.proxies) proxy.cut();
    await service.kill("SIGKILL");
    await delay(1_500);
  }
}
