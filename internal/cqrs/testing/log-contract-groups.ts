/** The part of the log's contract that is about consumer groups. */

import { expect, it } from "vitest";
import { FencedError, type LogRecord } from "../log.ts";
import {
  bytesOf,
  drive,
  type Opened,
  type OpenLog,
  opened,
  partitionCount,
  pollUntil,
  record,
  shareAll,
  withConnection,
} from "./log-contract-support.ts";

/** The cases about groups. */
export function describeGroups(open: OpenLog): void {
  const join = async ({ log, topics }: Pick<Opened, "log" | "topics">, instance: string, group = topics.group) =>
    drive(await log.consume({ group, instance, topic: topics.events }));

  const recordInEach = (topic: string, key: string) =>
    Array.from({ length: partitionCount }, (_, partition) => record(topic, partition, `${key}-${partition}`));

  it("a single member gets all partitions and every record once", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    await log.append(recordInEach(topics.events, "early"));
    const member = await join(system, "one");
    await pollUntil([member], () => member.records.length >= partitionCount);
    await log.append(recordInEach(topics.events, "late"));
    await pollUntil([member], () => member.records.length >= 2 * partitionCount);
    await member.poll();
    expect(member.records.map(({ key }) => key).toSorted()).toEqual([0, 1, 2, 3].flatMap((p) => [`early-${p}`, `late-${p}`]).toSorted());
  });

  it("members share the partitions, as evenly as can be, whoever joins and leaves", async () => {
    const system = await opened(open);
    const { topics } = system;
    const one = await join(system, "one");
    await pollUntil([one], () => one.owned.size === partitionCount);
    const two = await join({ log: await withConnection(system), topics }, "two");
    await pollUntil([one, two], () => shareAll(one, two));
    const three = await join(system, "three");
    await pollUntil([one, two, three], () => shareAll(one, two, three));
    await two.member[Symbol.asyncDispose]();
    await pollUntil([one, three], () => shareAll(one, three));
    await one.member[Symbol.asyncDispose]();
    await pollUntil([three], () => three.owned.size === partitionCount);
    await three.poll();
    expect(three.owned).toEqual(new Set([0, 1, 2, 3]));
  });

  it("a connection that closes takes its members with it", async () => {
    const system = await opened(open);
    const connection = await system.connect();
    const gone = await join({ log: connection, topics: system.topics }, "gone");
    const left = await join(system, "left");
    await pollUntil([gone, left], () => shareAll(gone, left));
    await connection[Symbol.asyncDispose]();
    await pollUntil([left], () => left.owned.size === partitionCount);
    expect(left.owned).toEqual(new Set([0, 1, 2, 3]));
  });

  it("a member that comes back under its name replaces its predecessor, which is fenced", async () => {
    const system = await opened(open);
    const before = await join(system, "same");
    await pollUntil([before], () => before.owned.size === partitionCount);
    const waiting = before.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 30_000 });
    const [after] = await Promise.all([join(system, "same"), expect(waiting).rejects.toThrow(FencedError)]);
    await pollUntil([after], () => after.owned.size === partitionCount);
    await expect(before.poll()).rejects.toThrow(FencedError);
    await before.member[Symbol.asyncDispose]();
    await after.poll();
    expect(after.owned.size).toBe(partitionCount);
  });

  it("a member that left is fenced, also where it waited", async () => {
    const system = await opened(open);
    const one = await join(system, "one");
    await pollUntil([one], () => one.owned.size === partitionCount);
    const waiting = one.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 30_000 });
    await Promise.all([one.member[Symbol.asyncDispose](), expect(waiting).rejects.toThrow(FencedError)]);
    await expect(one.poll()).rejects.toThrow(FencedError);
  });

  it("no records come from a partition before it is positioned", async () => {
    const { log, topics } = await opened(open);
    await log.append(recordInEach(topics.events, "a"));
    await using member = await log.consume({ group: topics.group, instance: "one", topic: topics.events });
    const gained = new Set<number>();
    while (gained.size < partitionCount) {
      const poll = await member.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: 100 });
      expect(poll.records).toEqual([]);
      poll.gained.forEach((partition) => gained.add(partition));
    }
    expect((await member.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: 100 })).records).toEqual([]);
    member.seek(2, 0);
    const { records } = await member.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: 30_000 });
    expect(records.map(({ key }) => key)).toEqual(["a-2"]);
  });

  it("a member that positions itself back gets the records again", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    const offsets = await log.append(["a", "b", "c"].map((key) => record(topics.events, 0, key)));
    const member = await join(system, "one");
    await pollUntil([member], () => member.records.length >= 3);
    member.member.seek(0, offsets[1] ?? 0);
    await pollUntil([member], () => member.records.length >= 5);
    expect(member.records.map(({ key }) => key)).toEqual(["a", "b", "c", "b", "c"]);
  });

  it("a member that resets gets all its partitions anew, and their records when it has positioned them", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    await log.append(recordInEach(topics.events, "a"));
    const before = await join(system, "one");
    await pollUntil([before], () => before.records.length >= partitionCount);
    before.member.reset();
    const again = drive(before.member);
    await pollUntil([again], () => again.records.length >= partitionCount);
    expect(again.owned).toEqual(new Set([0, 1, 2, 3]));
    expect(again.records.map(({ key }) => key).toSorted()).toEqual(["a-0", "a-1", "a-2", "a-3"]);
  });

  it("a poll returns no more records than asked for, and no partition starves", async () => {
    const { log, topics } = await opened(open);
    const many = Array.from({ length: 50 }, (_, index) => index);
    await log.append(many.flatMap((index) => [record(topics.events, 0, `busy-${index}`), record(topics.events, 0, `busier-${index}`)]));
    await log.append([record(topics.events, 3, "quiet")]);
    await using member = await log.consume({ group: topics.group, instance: "one", topic: topics.events });
    let polls = 0;
    for (let found = false; !found; ) {
      const poll = await member.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: 200 });
      poll.gained.forEach((partition) => member.seek(partition, 0));
      expect(poll.records.length).toBeLessThanOrEqual(10);
      found = poll.records.some(({ key }) => key === "quiet");
      polls += poll.records.length > 0 ? 1 : 0;
    }
    expect(polls).toBeLessThanOrEqual(3);
  });

  it("a poll returns no more bytes than asked for, but a single record however large, and loses none", async () => {
    const { log, topics } = await opened(open);
    const large = Array.from({ length: 12 }, (_, index) => ({
      topic: topics.events,
      partition: index % 2,
      key: `ключ-${index}`,
      value: new Uint8Array(index % 3 === 0 ? 5_000 : 900),
      headers: { ce_type: "ö".repeat(100) },
    }));
    await log.append(large);
    await using member = await log.consume({ group: topics.group, instance: "one", topic: topics.events });
    const found: LogRecord[] = [];
    for (let polls = 0; found.length < large.length; polls += 1) {
      const maxBytes = polls % 2 === 0 ? 3_000 : 100;
      const { gained, records } = await member.poll({ maxRecords: 100, maxBytes, waitMs: 200 });
      gained.forEach((partition) => member.seek(partition, 0));
      expect(records.length <= 1 || bytesOf(records) <= maxBytes, `${records.length} records of ${bytesOf(records)} bytes`).toBe(true);
      found.push(...records);
    }
    const keys = (partition: number) => (each: { readonly partition: number; readonly key: string }) =>
      each.partition === partition ? [each.key] : [];
    for (const partition of [0, 1]) expect(found.flatMap(keys(partition))).toEqual(large.flatMap(keys(partition)));
  });

  it("a partition with large records keeps none waiting that has small ones", async () => {
    const { log, topics } = await opened(open);
    await log.append(
      Array.from({ length: 20 }, () => ({ topic: topics.events, partition: 0, key: "large", value: new Uint8Array(100_000) })),
    );
    await log.append([record(topics.events, 3, "small")]);
    await using member = await log.consume({ group: topics.group, instance: "one", topic: topics.events });
    let polls = 0;
    for (let found = false; !found; ) {
      const poll = await member.poll({ maxRecords: 10, maxBytes: 50_000, waitMs: 200 });
      poll.gained.forEach((partition) => member.seek(partition, 0));
      found = poll.records.some(({ key }) => key === "small");
      polls += poll.records.length > 0 ? 1 : 0;
    }
    expect(polls).toBeLessThanOrEqual(3);
  });

  it("a waiting poll returns as soon as a record comes, and without one when its time is over", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    const member = await join(system, "one");
    await pollUntil([member], () => member.owned.size === partitionCount);
    expect((await member.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 50 })).records).toEqual([]);
    const poll = member.member.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: 50_000 });
    await log.append([record(topics.events, 1, "a")]);
    expect((await poll).records.map(({ key }) => key)).toEqual(["a"]);
  });

  it("groups do not disturb each other", async () => {
    const system = await opened(open);
    const { log, topics } = system;
    const members = [await join(system, "one", `${topics.group}-a`), await join(system, "one", `${topics.group}-b`)];
    await log.append(recordInEach(topics.events, "a"));
    await pollUntil(members, () => members.every(({ records }) => records.length >= partitionCount));
    expect(members.map(({ owned }) => owned.size)).toEqual([partitionCount, partitionCount]);
  });
}
