/** What kafkajs does to writers under bad luck, on a real broker; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, LogUnavailableError } from "../../cqrs/log.ts";
import { startAppender } from "./appender.ts";
import { Kafka, type KafkaConfig } from "./kafkajs.ts";
import { joinGroup } from "./membership.ts";
import { ApiKey, type LossyProxy, startLossyProxy } from "./testing/lossy-proxy.ts";
import { assigned, contents, everything, type OpenedLog, openedLog, record, tookOver } from "./testing/opened-log.ts";
import { Transactor } from "./transactor.ts";

/** Where the answer to an EndTxn has its error: behind length, number and throttle time. */
const END_TXN_ERROR_AT = 12;
const INVALID_PRODUCER_EPOCH = 47;
const PRODUCER_FENCED = 90;

/** Soon over where a broker does not answer, but not where one is merely slow; then a record may be written twice. */
const REQUEST_TIMEOUT_MS = 600;

/** What kafkajs takes if it is told nothing, except in tests. */
const kafkajsDefaults = { initialRetryTime: 300, multiplier: 2, factor: 0.2, maxRetryTime: 30_000, retries: 5 } as const;

describe.skipIf(kafka === undefined)("writing under bad luck", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("concurrent appends lose nothing when the answer to one is lost", async () => {
    const { log, topics, config } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    await using appender = await startAppender({ ...config, socketFactory: proxy.socketFactory });
    await appender.append([record(topics.events, "warm")]);
    const lost = proxy.loseAnswer(ApiKey.PRODUCE);
    const keys = Array.from({ length: 30 }, (_, index) => String(index));
    const acknowledged = await Promise.all(keys.map((key) => appender.append([record(topics.events, key)])));
    await lost;
    const written = await contents(log, topics.events);
    acknowledged.forEach(([offset], index) => expect(written.get(offset ?? -1)).toBe(keys[index]));
    expect(new Set(written.values())).toEqual(new Set(["warm", ...keys]));
  });

  it("offsets of an old generation are refused, and the transaction with them", async () => {
    const { log, topics, config, group } = await openedLog(server);
    await using membership = await joinGroup(config, { group, topic: topics.events, instance: "one" });
    const assignment = await assigned(membership);
    const transactor = createTransactor(config, group);
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
    await expect.poll(() => consumed({ log, group, topics })).toBe(1);
  });

  it("a commit whose answer is lost has an unknown outcome, and the next transaction of that name works", async () => {
    const opened = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const run = await joined(opened, proxy);
    await run("first", 1);
    const lost = proxy.loseAnswer(ApiKey.END_TXN);
    await expect(run("unknown", 2)).rejects.toThrow(LogUnavailableError);
    await lost;
    await run("third", 3);
    // The broker had committed before its answer was lost.
    expect(await committedKeys(opened)).toEqual(["first", "unknown", "third"]);
  });

  it("a transaction that breaks before its commit writes nothing, and the next one works", async () => {
    const opened = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const run = await joined(opened, proxy);
    await run("first", 1);
    const lost = proxy.loseAnswer(ApiKey.ADD_OFFSETS_TO_TXN);
    await expect(run("broken", 2)).rejects.toThrow(FencedError);
    await lost;
    await expect.poll(() => consumed(opened)).toBe(1);
    await run("third", 3);
    expect(await committedKeys(opened)).toEqual(["first", "third"]);
  });

  it("a commit that comes late cannot commit a later transaction", async () => {
    const opened = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const run = await joined(opened, proxy);
    await run("first", 1);
    const commit = proxy.hold(ApiKey.END_TXN);
    const unknown = run("unknown", 2).catch(asValue);
    (await commit).drop();
    expect(await unknown).toBeInstanceOf(LogUnavailableError);
    const offsets = proxy.hold(ApiKey.ADD_OFFSETS_TO_TXN);
    const third = run("third", 3).catch(asValue);
    await offsets;
    const answer = await (await commit).forward();
    expect([INVALID_PRODUCER_EPOCH, PRODUCER_FENCED]).toContain(answer.readInt16BE(END_TXN_ERROR_AT));
    (await offsets).drop();
    expect(await third).toBeInstanceOf(FencedError);
    await run("fourth", 4);
    expect(await committedKeys(opened)).toEqual(["first", "fourth"]);
    const [first = NaN, unknownToo = NaN, thirdToo = NaN, fourth = NaN] = await epochs(opened);
    expect(unknownToo).toBe(first);
    expect(thirdToo).toBeGreaterThan(unknownToo);
    expect(fourth).toBeGreaterThan(thirdToo);
  });

  it("offsets that come late cannot become those of a later transaction", async () => {
    const opened = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const run = await joined(opened, proxy);
    await run("first", 1);
    const offsets = proxy.hold(ApiKey.TXN_OFFSET_COMMIT);
    const broken = run("broken", 2).catch(asValue);
    (await offsets).drop();
    expect(await broken).toBeInstanceOf(FencedError);
    const commit = proxy.hold(ApiKey.END_TXN);
    const third = run("third", 3);
    await commit;
    await (await offsets).forward();
    await (await commit).forward();
    await third;
    // A commit is acknowledged before its mark is where the offsets are.
    await expect.poll(() => consumed(opened)).toBe(3);
    expect(await committedKeys(opened)).toEqual(["first", "third"]);
  });

  it("transactions that follow one another do not wait as long as kafkajs would, and none is given up", async () => {
    const opened = await openedLog(server);
    const quick = await joined(opened);
    const unhurried = await joined({ ...opened, config: { ...opened.config, retry: kafkajsDefaults } });
    const quickMs = await durations(20, (index) => quick(`quick-${index}`, index));
    const unhurriedMs = await durations(5, (index) => unhurried(`unhurried-${index}`, index));
    expect(median(quickMs)).toBeLessThan(median(unhurriedMs) / 2);
  });

  it("a producer is replaced before it has sent more than it may", async () => {
    const opened = await openedLog(server);
    const run = await joined(opened, undefined, 2);
    for (const index of [0, 1, 2, 3, 4, 5, 6]) await run(String(index), index);
    expect(await committedKeys(opened)).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
    const producers = Map.groupBy(await epochs(opened), (epoch) => epoch);
    expect([...producers.values()].map((records) => records.length)).toEqual([3, 3, 1]);
  });

  it("while a broker stalls every append is told that the log is unavailable, and none waits for a lock", async () => {
    const { log, topics, config } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    const impatient = { ...config, requestTimeout: REQUEST_TIMEOUT_MS, retry: { ...config.retry, retries: 2 } };
    await using appender = await startAppender({ ...impatient, socketFactory: proxy.socketFactory });
    await appender.append([record(topics.events, "before")]);
    proxy.stall();
    const keys = Array.from({ length: 5 }, (_, index) => String(index));
    const failures = await Promise.all(keys.map((key) => appender.append([record(topics.other, key)]).catch(asValue)));
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(LogUnavailableError);
      expect(failure).not.toHaveProperty("message", expect.stringContaining("lock"));
    }
    proxy.goOn();
    await appender.append([record(topics.events, "after")]);
    expect(new Set((await contents(log, topics.events)).values())).toEqual(new Set(["before", "after"]));
  });

  it("a connection that falls silent is replaced, and what waited on it goes on", async () => {
    const { log, topics, config } = await openedLog(server);
    await using proxy = await startLossyProxy(server.address);
    await using appender = await startAppender({ ...config, requestTimeout: REQUEST_TIMEOUT_MS, socketFactory: proxy.socketFactory });
    await appender.append([record(topics.events, "before")]);
    proxy.silence();
    await appender.append([record(topics.events, "after")]);
    expect(new Set((await contents(log, topics.events)).values())).toEqual(new Set(["before", "after"]));
  });

  it("the open transaction of a dead owner is ended at once by the one who takes over", async () => {
    const { log, topics, config, group } = await openedLog(server);
    const own = (instance: string) => log.own({ group, instance, topic: topics.events, stateTopic: topics.state });
    const dead = await own("dead");
    await tookOver(dead);
    await dead.transact({ records: [record(topics.state, "known")], consumed: new Map([[0, 1]]) });
    await dead[Symbol.asyncDispose]();
    // As if the process had ended in the middle: an open transaction that the broker itself would end after ten minutes.
    const producer = new Kafka(config).producer({ transactionalId: dead.writer, idempotent: true, transactionTimeout: 600_000 });
    await producer.connect();
    const abandoned = await producer.transaction();
    await abandoned.send({ topic: topics.state, messages: [{ partition: 0, key: "unknown", value: "x" }] });
    await producer.disconnect();
    await using heir = await own("heir");
    await tookOver(heir);
    const [known, unknown] = await heir.load(0, ["known", "unknown"]);
    expect([new TextDecoder().decode(known), unknown]).toEqual(["value of known", undefined]);
  });
});

function createTransactor(config: KafkaConfig, group: string, maxRecords?: number): Transactor {
  const transactor = new Transactor(config, `${group}/${randomUUID()}`, maxRecords);
  onTestFinished(() => transactor.discard());
  return transactor;
}

/** Joins the group; each call of what it returns is a transaction of one record, which goes through the proxy. */
async function joined({ config, group, topics }: OpenedLog, proxy?: LossyProxy, maxRecords?: number) {
  const ownGroup = proxy === undefined ? `${group}.${randomUUID()}` : group;
  const membership = await joinGroup(config, { group: ownGroup, topic: topics.events, instance: "one" });
  onTestFinished(() => membership[Symbol.asyncDispose]());
  const assignment = await assigned(membership);
  const transactor = createTransactor(proxy === undefined ? config : { ...config, socketFactory: proxy.socketFactory }, group, maxRecords);
  return async (key: string, next: number): Promise<void> => {
    const consumes = { group: ownGroup, topic: topics.events, consumed: new Map([[0, next]]), assignment };
    await transactor.run({ records: [record(topics.other, key)], ...consumes });
  };
}

async function committedKeys({ log, topics }: OpenedLog): Promise<readonly string[]> {
  return [...(await contents(log, topics.other)).values()];
}

async function consumed({ log, group, topics }: Pick<OpenedLog, "log" | "group" | "topics">): Promise<number | undefined> {
  return (await log.committed(group, topics.events))[0];
}

/** The epochs of the producers that wrote in transactions, committed or not, per record. */
async function epochs({ config, topics }: OpenedLog): Promise<readonly number[]> {
  const messages = await everything(config, topics.other);
  return messages
    .filter(({ isControlRecord, batchContext }) => batchContext.inTransaction && !isControlRecord)
    .map(({ batchContext }) => batchContext.producerEpoch);
}

function asValue(error: unknown): unknown {
  return error;
}

async function durations(count: number, run: (index: number) => Promise<void>): Promise<readonly number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const startedMs = performance.now();
    await run(index);
    found.push(performance.now() - startedMs);
  }
  return found;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
