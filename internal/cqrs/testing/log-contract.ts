/** What every adapter of the log port must do. An adapter is what passes it. */

import { describe, expect, it } from "vitest";
import { MAX_RECORD_BYTES, RecordsGoneError } from "../log.ts";
import { describeGroups } from "./log-contract-groups.ts";
import { describeInspecting } from "./log-contract-inspecting.ts";
import { describeReset } from "./log-contract-reset.ts";
import {
  contents,
  drive,
  type Opened,
  type OpenLog,
  opened,
  partitionCount,
  pollUntil,
  read,
  record,
  text,
  withConnection,
} from "./log-contract-support.ts";
import { describeTransactions } from "./log-contract-transactions.ts";

/** Runs the suite on an adapter. Every test opens a log with topics of names that were never used before. */
export function describeLog(name: string, open: OpenLog): void {
  describe(name, () => {
    describe("appending", () => describeAppending(open));
    describe("tailing", () => describeTailing(open));
    describe("latest values", () => describeLatest(open));
    describe("notifications", () => describeLive(open));
    describe("groups", () => describeGroups(open));
    describe("a member that has reset", () => describeReset(open));
    describe("transactions", () => describeTransactions(open));
    describe("inspecting", () => describeInspecting(open));
    describe("topics", () => describeTopicIds(open));
    describe("records that are gone", () => describeGone(open));
    describe("a durable log", () => describeDurability(open));
  });
}

function describeAppending(open: OpenLog): void {
  it("records keep their order, and their offsets rise, in each partition", async () => {
    const { log, topics } = await opened(open);
    const first = await log.append([record(topics.events, 0, "a"), record(topics.events, 1, "b"), record(topics.events, 0, "c")]);
    const second = await log.append([record(topics.events, 0, "d")]);
    const found = await contents(log, topics.events, 0);
    expect(found.map(({ key }) => key)).toEqual(["a", "c", "d"]);
    expect(found.map(({ offset }) => offset)).toEqual([first[0], first[2], second[0]]);
    expect(found.map(({ offset }) => offset)).toEqual(found.map(({ offset }) => offset).toSorted((a, b) => a - b));
    expect((await contents(log, topics.events, 1)).map(({ key }) => key)).toEqual(["b"]);
  });

  it("gapless offsets count from 0 where they are promised", async () => {
    const { log, topics } = await opened(open);
    const offsets = await log.append(Array.from({ length: 5 }, (_, index) => record(topics.events, 2, String(index))));
    expect(!log.guarantees.gaplessOffsets || offsets.join() === "0,1,2,3,4").toBe(true);
  });

  it("a record comes back with key, value, headers and time", async () => {
    const { log, topics } = await opened(open);
    const before = Date.now();
    await log.append([
      { topic: topics.events, partition: 0, key: "ключ-鍵-🔑", value: Uint8Array.of(0, 255, 7), headers: { ce_id: "ö", empty: "" } },
      { topic: topics.events, partition: 0, key: "", value: new Uint8Array() },
    ]);
    const [full, empty] = await contents(log, topics.events, 0);
    expect(full).toMatchObject({ partition: 0, key: "ключ-鍵-🔑", headers: { ce_id: "ö", empty: "" } });
    expect([...(full?.value ?? [])]).toEqual([0, 255, 7]);
    // A minute of tolerance, since a broker stamps with its own clock.
    expect(Math.abs((full?.timestampMs ?? 0) - before)).toBeLessThan(60_000);
    expect(empty).toMatchObject({ key: "" });
    expect(empty?.value.length).toBe(0);
  });

  it("10,000 records go in one append", async () => {
    const { log, topics } = await opened(open);
    const keys = Array.from({ length: 10_000 }, (_, index) => String(index));
    const offsets = await log.append(keys.map((key) => record(topics.events, 0, key)));
    expect(new Set(offsets).size).toBe(keys.length);
    expect((await contents(log, topics.events, 0)).map(({ key }) => key)).toEqual(keys);
  });

  it("concurrent appends of several connections all land once", async () => {
    const system = await opened(open);
    const { topics } = system;
    const logs = [system.log, await withConnection(system), await withConnection(system)];
    const appended = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const log = logs[index % logs.length] ?? system.log;
        const [offset] = await log.append([record(topics.events, index % partitionCount, String(index))]);
        return { partition: index % partitionCount, key: String(index), offset };
      }),
    );
    const found = await Promise.all(
      Array.from({ length: partitionCount }, (_, partition) => contents(system.log, topics.events, partition)),
    );
    const places = found.flat().map(({ partition, key, offset }) => ({ partition, key, offset }));
    const byKey = (a: { key: string }, b: { key: string }): number => Number(a.key) - Number(b.key);
    expect(places.toSorted(byKey)).toEqual(appended);
  });

  it("an append to a topic that is not there rejects and writes nothing", async () => {
    const { log, topics } = await opened(open);
    await expect(log.append([record(topics.events, 0, "a"), record("never.opened", 0, "b")])).rejects.toThrow(Error);
    await expect(log.append([record(topics.events, partitionCount, "a")])).rejects.toThrow(Error);
    expect(await contents(log, topics.events, 0)).toEqual([]);
  });

  it("a record without a value harms no other append", async () => {
    const { log, topics } = await opened(open);
    const [bad, good] = await Promise.allSettled([
      log.append([{ topic: topics.events, partition: 0, key: "bad", value: null }]),
      log.append([record(topics.events, 0, "good")]),
    ]);
    expect([bad.status, good.status]).toEqual(["rejected", "fulfilled"]);
    expect((await contents(log, topics.events, 0)).map(({ key }) => key)).toEqual(["good"]);
  });

  it("a record that is too large is refused as that, and harms no other append", async () => {
    const { log, topics } = await opened(open);
    const at = { topic: topics.events, partition: 0 };
    const large = { ...at, key: "large", value: new Uint8Array(MAX_RECORD_BYTES) };
    const long = { ...at, key: "long", value: text("x"), headers: { ce_type: "ö".repeat(MAX_RECORD_BYTES / 2) } };
    const fits = { ...at, key: "fits", value: new Uint8Array(MAX_RECORD_BYTES - 4) };
    const appended = await Promise.allSettled([log.append([large]), log.append([long, fits]), log.append([fits])]);
    expect(appended).toMatchObject([
      { status: "rejected", reason: { name: "RecordsTooLargeError", message: expect.stringContaining(topics.events) as unknown } },
      { status: "rejected", reason: { name: "RecordsTooLargeError" } },
      { status: "fulfilled" },
    ]);
    expect((await contents(log, topics.events, 0)).map(({ key }) => key)).toEqual(["fits"]);
  });

  it("the ends lie behind the last record of each partition", async () => {
    const { log, topics } = await opened(open);
    expect(await log.ends(topics.events)).toEqual([0, 0, 0, 0]);
    const [, last = -1] = await log.append([record(topics.events, 3, "a"), record(topics.events, 3, "b")]);
    const ends = await log.ends(topics.events);
    expect(ends.slice(0, 3)).toEqual([0, 0, 0]);
    expect(ends[3]).toBeGreaterThan(last);
  });
}

function describeTailing(open: OpenLog): void {
  it("a tail starts at an offset and goes on as records come", async () => {
    const { log, topics } = await opened(open);
    const offsets = await log.append(["a", "b", "c"].map((key) => record(topics.events, 0, key)));
    const tail = read(log, topics.events, 0, offsets[1] ?? 0);
    expect((await tail.until((found) => found.length >= 2)).map(({ key }) => key)).toEqual(["b", "c"]);
    await log.append([record(topics.events, 0, "d"), record(topics.events, 1, "elsewhere")]);
    expect((await tail.until((found) => found.length >= 3)).map(({ key }) => key)).toEqual(["b", "c", "d"]);
    await tail.stop();
  });

  it("a tail from the end shows only what came after it began", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    await log.append([record(topics.events, 0, "before")]);
    const controller = new AbortController();
    const records = await log.tail({ topic: topics.events, partition: 0, from: "end", signal: controller.signal });
    await (await withConnection(system)).append([record(topics.events, 0, "after")]);
    for await (const batch of records) {
      expect(batch.map(({ key }) => key)).toEqual(["after"]);
      controller.abort();
    }
  });

  it("a tail ends when its signal aborts, before, while and after it waits", async () => {
    const { log, topics } = await opened(open);
    await log.append([record(topics.events, 0, "a")]);
    for (const topic of [topics.events, topics.live]) {
      expect(await Array.fromAsync(await log.tail({ topic, partition: 0, from: "end", signal: AbortSignal.abort() }))).toEqual([]);
      const waiting = new AbortController();
      const batches = Array.fromAsync(await log.tail({ topic, partition: 0, from: "end", signal: waiting.signal }));
      await log.ends(topics.events);
      waiting.abort();
      expect(await batches).toEqual([]);
    }
  });

  it("several tails of one partition show the same", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    const tails = [read(log, topics.events, 0), read(log, topics.events, 0), read(await withConnection(system), topics.events, 0)];
    await log.append(["a", "b"].map((key) => record(topics.events, 0, key)));
    for (const tail of tails) {
      expect((await tail.until((found) => found.length >= 2)).map(({ key }) => key)).toEqual(["a", "b"]);
      await tail.stop();
    }
  });

  it("large records come through, many of them too", async () => {
    const { log, topics } = await opened(open);
    const value = new Uint8Array(500_000).fill(7);
    for (let batch = 0; batch < 10; batch += 1) {
      await log.append(Array.from({ length: 4 }, () => ({ topic: topics.events, partition: 0, key: "large", value })));
    }
    const found = await contents(log, topics.events, 0);
    expect(found.map((large) => large.value.length)).toEqual(Array.from({ length: 40 }, () => value.length));
  });
}

function describeLatest(open: OpenLog): void {
  it("the latest value of a key is loaded, until it is deleted", async () => {
    const { log, topics } = await opened(open);
    const state = (value: string | null) => [{ topic: topics.state, partition: 0, key: "a", value: value === null ? null : text(value) }];
    await log.append(state("first"));
    await log.append(state("second"));
    expect(await loadFresh(log, topics, ["a", "unknown"])).toEqual(["second", undefined]);
    await log.append(state(null));
    expect(await loadFresh(log, topics, ["a"])).toEqual([undefined]);
    await log.append([...state("third"), ...state("fourth")]);
    expect(await loadFresh(log, topics, ["a", "a"])).toEqual(["fourth", "fourth"]);
  });

  it("keys are told apart exactly, and belong to their partition", async () => {
    const { log, topics } = await opened(open);
    const keys = ["a", "A", "a ", "ä", "a\u0308", "__position", "constructor", "🔑", ""];
    await log.append(keys.map((key, index) => ({ topic: topics.state, partition: 0, key, value: text(String(index)) })));
    expect(await loadFresh(log, topics, keys)).toEqual(keys.map((_, index) => String(index)));
    expect(await loadFresh(log, topics, keys, 1)).toEqual(keys.map(() => undefined));
  });

  it("thousands of keys and values of half a megabyte are loaded at once", async () => {
    const { log, topics } = await opened(open);
    const keys = Array.from({ length: 5_000 }, (_, index) => `key-${index}`);
    const large = "x".repeat(500_000);
    await log.append(keys.map((key) => ({ topic: topics.state, partition: 0, key, value: text(key) })));
    await log.append([{ topic: topics.state, partition: 0, key: "large", value: text(large) }]);
    expect(await loadFresh(log, topics, [...keys, "large"])).toEqual([...keys, large]);
  });
}

function describeLive(open: OpenLog): void {
  it("those who listen get a notification, and nobody later", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    expect(await log.append([record(topics.live, 0, "to nobody")])).toEqual([-1]);
    const listeners = [read(log, topics.live, 0, "end"), read(await withConnection(system), topics.live, 0, "end")];
    await Promise.all(listeners.map(({ started }) => started));
    await log.append([record(topics.live, 1, "elsewhere"), record(topics.live, 0, "first"), record(topics.live, 0, "second")]);
    for (const listener of listeners) {
      expect((await listener.until((found) => found.length >= 2)).map(({ key }) => key)).toEqual(["first", "second"]);
      await listener.stop();
    }
  });

  it("a burst of notifications to nobody, or to one who never reads, harms nobody", async () => {
    const { log, topics } = await opened(open);
    await log.tail({ topic: topics.live, partition: 0, from: "end", signal: new AbortController().signal });
    for (let round = 0; round < 20; round += 1) {
      await log.append(Array.from({ length: 1_000 }, (_, index) => record(topics.live, index % partitionCount, "burst")));
    }
    await log.append([record(topics.events, 0, "still there")]);
    expect(await contents(log, topics.events, 0)).toHaveLength(1);
  });
}

function describeTopicIds(open: OpenLog): void {
  it("each topic has an id of its own, and a topic that is not there has none", async () => {
    const { log, topics } = await opened(open);
    const other = await opened(open);
    const ids = [topics.events, topics.other, topics.state].map((topic) => log.topicId(topic));
    const others = [other.topics.events, other.topics.other, other.topics.state].map((topic) => other.log.topicId(topic));
    expect(new Set([...ids, ...others]).size).toBe(6);
    expect(() => log.topicId("no-such-topic")).toThrow("without the topic no-such-topic");
  });
}

function describeGone(open: OpenLog): void {
  const keys = ["a", "b", "c", "d"];

  it("who reads at a record that was deleted, or behind an end that was lost, gets an error that says where, and no gap", async (test) => {
    const { log, topics, trim } = await opened(open);
    if (trim === undefined) return test.skip("nothing can be deleted from this log");
    const offsets = await log.append(keys.map((key) => record(topics.other, 1, key)));
    const [, , third = 0] = offsets;
    const trimmed = await trim(topics.other, 1, third);
    expect((await trimmed.begins(topics.other))[1]).toBe(third);
    const place = `partition 1 of ${topics.other}`;
    await expect(firstRecords(trimmed, topics.other, 1)).rejects.toThrow(RecordsGoneError);
    await expect(firstRecords(trimmed, topics.other, 1)).rejects.toThrow(
      `the record at 1 was to be read next, and ${place} begins at ${third}`,
    );
    expect((await firstRecords(trimmed, topics.other, third)).map(({ key }) => key)).toEqual(["c", "d"]);
    const end = (await trimmed.ends(topics.other))[1] ?? 0;
    await expect(firstRecords(trimmed, topics.other, end + 5)).rejects.toThrow(`${place} ends at ${end}`);
  });

  it("a member that is positioned at a record that was deleted gets an error", async (test) => {
    const { log, topics, trim } = await opened(open);
    if (trim === undefined) return test.skip("nothing can be deleted from this log");
    const [, , third = 0] = await log.append(keys.map((key) => record(topics.other, 1, key)));
    const trimmed = await trim(topics.other, 1, third);
    const member = drive(await trimmed.consume({ group: topics.group, instance: "one", topic: topics.other }));
    await expect(pollUntil([member], () => false)).rejects.toThrow(RecordsGoneError);
  });

  async function firstRecords(log: Opened["log"], topic: string, from: number) {
    const stop = new AbortController();
    for await (const batch of await log.tail({ topic, partition: 1, from, signal: stop.signal })) {
      stop.abort();
      return batch;
    }
    return [];
  }
}

function describeDurability(open: OpenLog): void {
  it("what was acknowledged is still there after it was closed and opened again", async (test) => {
    const system = await opened(open);
    const { log, topics, reopen } = system;
    if (reopen === undefined) return test.skip("this log ends with its process");
    const offsets = await log.append([record(topics.events, 1, "a"), record(topics.events, 1, "b")]);
    await log.append([{ topic: topics.state, partition: 0, key: "key", value: text("kept") }]);
    const owner = await log.own({ group: topics.group, instance: "one", topic: topics.events, stateTopic: topics.state });
    await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 100 });
    const ends = await log.ends(topics.events);

    const again = await reopen();
    expect([again.id, again.partitions]).toEqual([log.id, log.partitions]);
    expect(again.topicId(topics.events)).toBe(log.topicId(topics.events));
    expect(await again.ends(topics.events)).toEqual(ends);
    expect(await loadFresh(again, topics, ["key"])).toEqual(["kept"]);
    const [next = 0] = await again.append([record(topics.events, 1, "c")]);
    expect(next).toBeGreaterThan(offsets[1] ?? 0);
    expect((await contents(again, topics.events, 1)).map(({ key }) => key)).toEqual(["a", "b", "c"]);
    await again[Symbol.asyncDispose]();
  });

  it("another number of partitions is refused", async (test) => {
    const { log, topics, reopen } = await opened(open);
    if (reopen === undefined) return test.skip("this log ends with its process");
    await log.append([record(topics.events, 0, "a")]);
    await expect(reopen(partitionCount + 1)).rejects.toThrow(`${partitionCount} partitions`);
  });
}

/** The values as a new owner of the partition sees them. */
async function loadFresh(log: Opened["log"], topics: Opened["topics"], keys: readonly string[], partition = 0) {
  await using owner = await log.own({ group: `${topics.group}-fresh`, instance: "fresh", topic: topics.events, stateTopic: topics.state });
  const gained = new Set<number>();
  while (!gained.has(partition))
    for (const each of (await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 1_000 })).gained) gained.add(each);
  return (await owner.load(partition, keys)).map((value) => (value === undefined ? undefined : new TextDecoder().decode(value)));
}
