/** What kafkajs or a broker does under bad luck, each case against a real broker. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, type Log, LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { startAppender } from "./appender.ts";
import { kafkaConfig } from "./config.ts";
import { OffsetOutOfRangeError } from "./fetcher.ts";
import { Kafka, type KafkaConfig } from "./kafkajs.ts";
import { joinGroup, type Membership } from "./membership.ts";
import { openKafkaLog } from "./open.ts";
import { CorruptRecordError } from "./record.ts";
import { startLossyProxy } from "./testing/lossy-proxy.ts";
import { Transactor } from "./transactor.ts";

const PRODUCE = 0;
const ADD_OFFSETS_TO_TXN = 25;
const END_TXN = 26;

describe.skipIf(kafka === undefined)("under bad luck", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("concurrent appends lose nothing when the answer to one is lost", async () => {
    const { log, topics, config } = await opened(server);
    await using proxy = await startLossyProxy(server.address);
    await using appender = await startAppender({ ...config, socketFactory: proxy.socketFactory });
    await appender.append([record(topics.events, "warm")]);
    const lost = proxy.loseAnswer(PRODUCE);
    const keys = Array.from({ length: 30 }, (_, index) => String(index));
    const acknowledged = await Promise.all(keys.map((key) => appender.append([record(topics.events, key)])));
    await lost;
    const written = await contents(log, topics.events);
    acknowledged.forEach(([offset], index) => expect(written.get(offset ?? -1)).toBe(keys[index]));
    expect(new Set(written.values())).toEqual(new Set(["warm", ...keys]));
  });

  it("offsets of an old generation are refused, and the transaction with them", async () => {
    const { log, topics, config, group } = await opened(server);
    await using membership = await joinGroup(config, { group, topic: topics.events, instance: "one" });
    const assignment = await assigned(membership);
    const transactor = new Transactor(config, `${group}/one`);
    onTestFinished(() => transactor.discard());
    const transaction = { records: [record(topics.other, "stale")], group, topic: topics.events, consumed: new Map([[0, 1]]) };
    const old = { ...assignment, generation: assignment.generation - 1 };
    await expect(transactor.run({ ...transaction, assignment: old })).rejects.toMatchObject({
      name: "FencedError",
      cause: { type: "ILLEGAL_GENERATION" },
    });
    const stranger = { ...assignment, memberId: `stranger-${randomUUID()}` };
    await expect(transactor.run({ ...transaction, assignment: stranger })).rejects.toMatchObject({
      name: "FencedError",
      cause: { type: "UNKNOWN_MEMBER_ID" },
    });
    await transactor.run({ ...transaction, records: [record(topics.other, "current")], assignment });
    expect([...(await contents(log, topics.other)).values()]).toEqual(["current"]);
    expect((await log.committed(group, topics.events))[0]).toBe(1);
  });

  it("a commit whose answer is lost has an unknown outcome, and the next transaction of that name works", async () => {
    const { log, topics, config, group } = await opened(server);
    await using proxy = await startLossyProxy(server.address);
    await using membership = await joinGroup(config, { group, topic: topics.events, instance: "one" });
    const assignment = await assigned(membership);
    const transactor = new Transactor({ ...config, socketFactory: proxy.socketFactory }, `${group}/one`);
    onTestFinished(() => transactor.discard());
    const run = (key: string, next: number) =>
      transactor.run({ records: [record(topics.other, key)], group, topic: topics.events, consumed: new Map([[0, next]]), assignment });
    await run("first", 1);
    const lost = proxy.loseAnswer(END_TXN);
    await expect(run("unknown", 2)).rejects.toThrow(LogUnavailableError);
    await lost;
    await run("third", 3);
    // The broker had committed before its answer was lost.
    expect([...(await contents(log, topics.other)).values()]).toEqual(["first", "unknown", "third"]);
  });

  it("a transaction that breaks before its commit writes nothing, and the next one works", async () => {
    const { log, topics, config, group } = await opened(server);
    await using proxy = await startLossyProxy(server.address);
    await using membership = await joinGroup(config, { group, topic: topics.events, instance: "one" });
    const assignment = await assigned(membership);
    const transactor = new Transactor({ ...config, socketFactory: proxy.socketFactory }, `${group}/one`);
    onTestFinished(() => transactor.discard());
    const run = (key: string, next: number) =>
      transactor.run({ records: [record(topics.other, key)], group, topic: topics.events, consumed: new Map([[0, next]]), assignment });
    await run("first", 1);
    const lost = proxy.loseAnswer(ADD_OFFSETS_TO_TXN);
    await expect(run("broken", 2)).rejects.toThrow(FencedError);
    await lost;
    expect((await log.committed(group, topics.events))[0]).toBe(1);
    await run("third", 3);
    expect([...(await contents(log, topics.other)).values()]).toEqual(["first", "third"]);
  });

  it("deleted records are an error where they were to be read, not a gap", async () => {
    const { log, topics, config } = await opened(server);
    await log.append(["a", "b", "c"].map((key) => record(topics.events, key)));
    const admin = new Kafka(config).admin();
    await admin.connect();
    onTestFinished(() => admin.disconnect());
    // Without having looked at the topic, kafkajs does not find its leaders.
    await admin.fetchTopicOffsets(topics.events);
    await admin.deleteTopicRecords({ topic: topics.events, partitions: [{ partition: 0, offset: "2" }] });
    await expect(firstBatch(log, topics.events)).rejects.toThrow(OffsetOutOfRangeError);
  });

  it("a value that is not what was written is refused", async () => {
    const { log, topics, config } = await opened(server);
    const producer = new Kafka(config).producer();
    await producer.connect();
    onTestFinished(() => producer.disconnect());
    const damaged = { partition: 0, key: "a", value: "damaged", headers: { crc32: "12345678" } };
    await producer.send({ topic: topics.events, messages: [damaged] });
    await expect(firstBatch(log, topics.events)).rejects.toThrow(CorruptRecordError);
  });

  it("the open transaction of a dead owner is ended at once by the one who takes over", async () => {
    const { log, topics, config, group } = await opened(server);
    const own = (instance: string) => log.own({ group, instance, topic: topics.events, stateTopic: topics.state });
    const dead = await own("dead");
    for (let gained = 0; gained === 0; ) gained = (await dead.poll({ maxRecords: 1, waitMs: 1_000 })).gained.length;
    await dead.transact({ records: [record(topics.state, "known")], consumed: new Map([[0, 1]]) });
    await dead[Symbol.asyncDispose]();
    // As if the process had ended in the middle: an open transaction that the broker itself would end after ten minutes.
    const producer = new Kafka(config).producer({ transactionalId: dead.writer, idempotent: true, transactionTimeout: 600_000 });
    await producer.connect();
    const abandoned = await producer.transaction();
    await abandoned.send({ topic: topics.state, messages: [{ partition: 0, key: "unknown", value: "x" }] });
    await producer.disconnect();
    await using heir = await own("heir");
    for (let gained = 0; gained === 0; ) gained = (await heir.poll({ maxRecords: 1, waitMs: 1_000 })).gained.length;
    const [known, unknown] = await heir.load(0, ["known", "unknown"]);
    expect([known?.toString(), unknown]).toEqual([record(topics.state, "known").value?.toString(), undefined]);
  });
});

interface Opened {
  readonly log: Log;
  readonly config: KafkaConfig;
  readonly group: string;
  readonly topics: { readonly events: string; readonly other: string; readonly state: string };
}

async function opened({ brokers }: KafkaServer): Promise<Opened> {
  const name = randomUUID();
  const topics = { events: `${name}.events`, other: `${name}.other`, state: `${name}.state` };
  const connection = { brokers, clientId: name };
  const log = await openKafkaLog({
    ...connection,
    partitions: 1,
    stateDirectory: null,
    topics: [
      { name: topics.events, retention: "forever" },
      { name: topics.other, retention: "days" },
      { name: topics.state, retention: "latest" },
    ],
  });
  onTestFinished(() => log[Symbol.asyncDispose]());
  return { log, topics, group: `${name}.group`, config: kafkaConfig(connection) };
}

function record(topic: string, key: string): NewRecord {
  return { topic, partition: 0, key, value: new TextEncoder().encode(`value of ${key}`) };
}

async function assigned(membership: Membership) {
  while (membership.assignment === undefined) await membership.changed;
  return membership.assignment;
}

/** The keys of everything that was committed to the partition before, by offset. */
async function contents(log: Log, topic: string): Promise<ReadonlyMap<number, string>> {
  await log.append([record(topic, "end")]);
  const controller = new AbortController();
  const found = new Map<number, string>();
  for await (const batch of await log.tail({ topic, partition: 0, from: 0, signal: controller.signal })) {
    for (const { offset, key } of batch) found.set(offset, key);
    if (batch.at(-1)?.key === "end") controller.abort();
  }
  return new Map([...found].filter(([, key]) => key !== "end"));
}

async function firstBatch(log: Log, topic: string): Promise<unknown> {
  const controller = new AbortController();
  for await (const batch of await log.tail({ topic, partition: 0, from: 0, signal: controller.signal })) return batch;
  return undefined;
}
