/** What kafkajs does to readers and members under bad luck, on a real broker; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, LogRefusedError, LogUnavailableError } from "../../cqrs/log.ts";
import { startConsumer } from "./consumer.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, Kafka, type KafkaConfig } from "./kafkajs.ts";
import { joinGroup } from "./membership.ts";
import { startOwner } from "./owner.ts";
import { CorruptRecordError } from "./record-batch.ts";
import type { IdleCost } from "./testing/idle-clients.fixture.ts";
import type { ReadCost } from "./testing/large-records.fixture.ts";
import { ApiKey, startLossyProxy } from "./testing/lossy-proxy.ts";
import { assigned, contents, everything, openedAdmin, openedLog, record, tookOver } from "./testing/opened-log.ts";

/** Where the answer to a heartbeat has its error: behind length, number and throttle time. */
const HEARTBEAT_ERROR_AT = 12;
const GROUP_AUTHORIZATION_FAILED = 30;
const UNKNOWN_MEMBER_ID = 25;

/** Where a batch has its length: behind its first offset. */
const BATCH_LENGTH_AT = 8;

/** The key of an abort marker, which a record may have too. */
const LIKE_A_MARKER = "\0\0\0\0";

/** Many times what a reader may hold, and what one may take in all: Node and the program alone take 110 MiB. */
const LARGE_RECORDS = 300;
const LARGE_PARTITIONS = 4;
const MOST_MIB = 250;

describe.skipIf(kafka === undefined)("reading under bad luck", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("nothing that was aborted is read, however transactions lie interleaved and from wherever it is read", async () => {
    const { log, topics, config, group } = await openedLog(server);
    const committed = [...(await interleaved(config, topics.events))];
    for (const { offset } of await everything(config, topics.events)) {
      const expected = committed.filter(([committedOffset]) => committedOffset >= Number(offset));
      expect([...(await contents(log, topics.events, { from: Number(offset) }))]).toEqual(expected);
    }
    await using consumer = await log.consume({ group, topic: topics.events, instance: "one" });
    const consumed: (readonly [number, string])[] = [];
    while (consumed.at(-1)?.[0] !== committed.at(-1)?.[0]) {
      const { gained, records } = await consumer.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 5_000 });
      for (const partition of gained) consumer.seek(partition, 0);
      consumed.push(...records.map(({ offset, key }) => [offset, key] as const));
    }
    expect(consumed).toEqual(committed);
  });

  it("nothing that was aborted is loaded as state", async () => {
    const { log, topics, config, group } = await openedLog(server);
    const committed = await interleaved(config, topics.state);
    const keys = [...new Set((await everything(config, topics.state)).map(({ key }) => String(key)))];
    await using owner = await log.own({ group, instance: "one", topic: topics.events, stateTopic: topics.state });
    await tookOver(owner);
    const loaded = await owner.load(0, keys);
    expect(new Set(keys.filter((_, index) => loaded[index] !== undefined))).toEqual(new Set(committed.values()));
  });

  it("an owner that does not poll for longer than its session keeps its partitions", async () => {
    const { log, topics, config, group } = await openedLog(server);
    await using owner = await log.own({ group, instance: "slow", topic: topics.events, stateTopic: topics.state });
    await tookOver(owner);
    await log.append([record(topics.events, "a")]);
    // The measure of time: a member as kafkajs is meant to be used, which sends no heartbeat while it works.
    const naive = new Kafka(config).consumer({ groupId: `${group}.naive`, sessionTimeout: 6_000, heartbeatInterval: 500 });
    const working = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    await naive.connect();
    await naive.subscribe({ topic: topics.events, fromBeginning: true });
    await naive.run({ eachBatch: () => (working.resolve(), done.promise) });
    onTestFinished(() => naive.disconnect());
    onTestFinished(() => done.resolve());
    await working.promise;
    const admin = await openedAdmin(config);
    const members = async (): Promise<number> => (await admin.describeGroups([`${group}.naive`])).groups[0]?.members.length ?? 0;
    expect(await members()).toBe(1);
    await vi.waitFor(async () => expect(await members()).toBe(0), { timeout: 30_000, interval: 200 });
    await owner.transact({ records: [record(topics.state, "a")], consumed: new Map([[0, 1]]) });
    await expect.poll(() => log.committed(group, topics.events)).toEqual([1]);
  });

  it("an owner that its group has given up is fenced, and comes back to the state that others have left", async () => {
    const { log, topics, config, group } = await openedLog(server);
    await log.append([record(topics.events, "a"), record(topics.events, "b")]);
    await using proxy = await startLossyProxy(server.address);
    const context = {
      // The heartbeat that is held must not time out before the group has given its sender up and the heir has written.
      config: { ...config, requestTimeout: 60_000, socketFactory: proxy.socketFactory },
      log,
      stateDirectory: null,
      check: () => undefined,
    };
    const options = { group, topic: topics.events, stateTopic: topics.state };
    await using silent = await startOwner(context, { ...options, instance: "silent" });
    await tookOver(silent);
    const heartbeat = await proxy.hold(ApiKey.HEARTBEAT);
    await using heir = await log.own({ ...options, instance: "heir" });
    await tookOver(heir);
    await heir.transact({ records: [record(topics.state, "of the heir")], consumed: new Map([[0, 1]]) });
    await expect(silent.transact({ records: [record(topics.state, "too late")], consumed: new Map([[0, 2]]) })).rejects.toThrow(
      FencedError,
    );
    await heir[Symbol.asyncDispose]();
    heartbeat.drop();
    expect(await silent.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 30_000 })).toMatchObject({
      lost: [0],
      gained: [0],
      records: [],
    });
    expect((await silent.load(0, ["of the heir", "too late"])).map((value) => value !== undefined)).toEqual([true, false]);
    expect((await silent.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 0 })).records).toEqual([]);
    silent.seek(0, 1);
    expect((await silent.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 30_000 })).records.map(({ key }) => key)).toEqual(["b"]);
  });

  it("a member that its group turns away for good hears of it in its next poll", async () => {
    const { topics, config, group } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const options = { group, topic: topics.events, instance: "one" };
    await using consumer = await startConsumer({ ...config, socketFactory: proxy.socketFactory }, options, 1);
    expect((await consumer.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 30_000 })).gained).toEqual([0]);
    await proxy.changeAnswer(ApiKey.HEARTBEAT, (answer) => answer.writeInt16BE(GROUP_AUTHORIZATION_FAILED, HEARTBEAT_ERROR_AT));
    const refused = consumer.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 10_000 });
    await expect(refused).rejects.toThrow(LogRefusedError);
    await expect(refused).rejects.toThrow(`the group ${group}`);
  });

  it("a member that its group has forgotten joins again, although its first attempt fails", async () => {
    const { topics, config, group } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const options = { group, topic: topics.events, instance: "one" };
    await using membership = await joinGroup({ ...config, socketFactory: proxy.socketFactory }, options);
    const { memberId } = await assigned(membership);
    await proxy.changeAnswer(ApiKey.HEARTBEAT, (answer) => answer.writeInt16BE(UNKNOWN_MEMBER_ID, HEARTBEAT_ERROR_AT));
    await proxy.loseAnswer(ApiKey.JOIN_GROUP);
    await expect.poll(() => membership.assignment?.memberId).not.toBe(memberId);
  });

  it("a member that cannot reach its group for longer than an election hears of it, instead of trying for ever", async () => {
    const { topics, config, group } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const impatient = { ...config, socketFactory: proxy.socketFactory, retry: { ...config.retry, retries: 5 } };
    await using membership = await joinGroup(impatient, { group, topic: topics.events, instance: "one" }, 500);
    await assigned(membership);
    membership.check();
    await proxy[Symbol.asyncDispose]();
    await vi.waitFor(() => expect(() => membership.check()).toThrow(LogUnavailableError), { timeout: 30_000 });
  });

  it.each([
    ["a record that is not what was written", (answer: Buffer) => answer.writeInt8(1, answer.length - 1)],
    ["a batch that is longer than what came", (answer: Buffer) => answer.writeInt32BE(2 ** 30, batchIn(answer) + BATCH_LENGTH_AT)],
  ])("%s is refused", async (_, damage) => {
    const { log, topics, config } = await openedLog(server);
    await log.append([record(topics.events, "a")]);
    await using proxy = await startLossyProxy(server.address);
    const fetcher = new Fetcher(createCluster({ ...config, socketFactory: proxy.socketFactory }), topics.events);
    onTestFinished(() => fetcher.close());
    await fetcher.open();
    const damaged = proxy.changeAnswer(ApiKey.FETCH, damage);
    fetcher.seek(0, 0);
    await damaged;
    await fetcher.changed;
    expect(() => fetcher.take({ maxRecords: 1, maxBytes: 1_000_000 })).toThrow(CorruptRecordError);
  });

  it("hundreds of large records that wait take no more memory than a reader may have", async () => {
    const { log, topics } = await openedLog(server, LARGE_PARTITIONS);
    const value = new Uint8Array(1024 * 1024);
    for (let count = 0; count < LARGE_RECORDS; count += LARGE_PARTITIONS) {
      await log.append(
        Array.from({ length: LARGE_PARTITIONS }, (_, partition) => ({ topic: topics.events, partition, key: "large", value })),
      );
    }
    const cost = await costOfReading(server.address, topics.events);
    // One less than has room in four megabytes, because each has a key.
    expect(cost).toMatchObject({ records: LARGE_RECORDS, mostAtOnce: 3 });
    expect(cost.peakMiB).toBeLessThan(MOST_MIB);
  });

  it("what a broker has compressed is read, or refused with the reason", async () => {
    const { config, topics } = await openedLog(server);
    expect(await readCompressed(config, `${topics.events}.gzip`, "gzip")).toEqual(["a", "b"]);
    expect(await readCompressed(config, `${topics.events}.zstd`, "zstd")).toEqual(["a", "b"]);
    await expect(readCompressed(config, `${topics.events}.lz4`, "lz4")).rejects.toThrow("is compressed with lz4");
    await expect(readCompressed(config, `${topics.events}.snappy`, "snappy")).rejects.toThrow("is compressed with snappy");
  });

  it("a client with nothing to do sets no timers to look whether that is still so", async () => {
    const [changed, unchanged] = await Promise.all([idleCost("changed", server), idleCost("unchanged", server)]);
    expect(unchanged.warnings).toContain("TimeoutNegativeWarning");
    expect(changed.warnings).toEqual([]);
    expect(changed.pollingTimers).toBeLessThan(unchanged.pollingTimers / 20);
  });
});

/**
 * Two transactions that lie interleaved, with every outcome of each and both orders of their markers.
 *
 * @returns the offsets and keys of what was committed, in order
 */
async function interleaved(config: KafkaConfig, topic: string): Promise<ReadonlyMap<number, string>> {
  const left = await transactionalProducer(config, `${topic}.left`);
  const right = await transactionalProducer(config, `${topic}.right`);
  const committed: [number, string][] = [];
  let markers = 0;
  for (const [leftCommits, rightCommits, leftEndsFirst] of allCases(3)) {
    const one = { transaction: await left.transaction(), commits: leftCommits };
    const two = { transaction: await right.transaction(), commits: rightCommits };
    const write = async ({ transaction, commits }: typeof one, key: string): Promise<void> => {
      const [placed] = await transaction.send({ topic, messages: [{ partition: 0, key, value: key }] });
      if (commits === true) committed.push([Number(placed?.baseOffset), key]);
    };
    const name = [leftCommits, rightCommits, leftEndsFirst].map(Number).join("");
    await write(one, `${name} left 1`);
    await write(two, `${name} right 1`);
    await write(one, LIKE_A_MARKER);
    await write(one, `${name} left 2`);
    await write(two, `${name} right 2`);
    for (const { transaction, commits } of leftEndsFirst === true ? [one, two] : [two, one]) {
      await (commits === true ? transaction.commit() : transaction.abort());
      markers += 1;
      await untilMarkers(config, topic, markers);
    }
  }
  return new Map(committed);
}

async function transactionalProducer({ retry, ...config }: KafkaConfig, transactionalId: string) {
  const quick = retry === undefined ? {} : { retry };
  const producer = new Kafka({ ...config, ...quick }).producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, ...quick });
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  return producer;
}

/** A transaction's end is acknowledged before its marker is written, and the order of the markers is what matters here. */
function untilMarkers(config: KafkaConfig, topic: string, count: number): Promise<void> {
  const found = async () => (await everything(config, topic)).filter(({ isControlRecord }) => isControlRecord).length;
  return vi.waitFor(async () => expect(await found()).toBe(count), { timeout: 10_000 });
}

/** Every list of so many yeses and noes. */
function allCases(count: number): readonly (readonly boolean[])[] {
  return Array.from({ length: 2 ** count }, (_, bits) => Array.from({ length: count }, (_unused, bit) => ((bits >> bit) & 1) === 1));
}

/** The keys of records, made larger by what they repeat, in a topic that the broker compresses. */
async function readCompressed(config: KafkaConfig, topic: string, compression: string): Promise<readonly string[]> {
  const admin = await openedAdmin(config);
  const configEntries = [{ name: "compression.type", value: compression }];
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 1, configEntries }] });
  const producer = await transactionalProducer(config, topic);
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: ["a", "b"].map((key) => ({ partition: 0, key, value: key.repeat(1_000) })) });
  await transaction.commit();
  const fetcher = new Fetcher(createCluster(config), topic);
  onTestFinished(() => fetcher.close());
  await fetcher.open();
  fetcher.seek(0, 0);
  const keys: string[] = [];
  while (keys.length < 2) {
    await fetcher.changed;
    keys.push(...fetcher.take({ maxRecords: 2, maxBytes: 1_000_000 }).map(({ key }) => key));
  }
  return keys;
}

/** Where the only batch of an answer begins: its size stands before it. */
function batchIn(answer: Buffer): number {
  const starts = Array.from(answer.keys(), (start) => start + 4);
  return starts.findLast((start) => start <= answer.length && answer.readInt32BE(start - 4) === answer.length - start) ?? 0;
}

async function idleCost(kind: "changed" | "unchanged", { address }: KafkaServer): Promise<IdleCost> {
  const fixture = join(import.meta.dirname, "testing", "idle-clients.fixture.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [fixture, kind, address]);
  return JSON.parse(stdout) as IdleCost;
}

/** What a process takes that reads a topic, and that has a small heap. */
async function costOfReading(address: string, topic: string): Promise<ReadCost> {
  const fixture = join(import.meta.dirname, "testing", "large-records.fixture.ts");
  const args = ["--max-old-space-size=64", fixture, address, topic, String(LARGE_PARTITIONS), String(LARGE_RECORDS)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as ReadCost;
}
