/** The part of the log's contract that operators read it by. */

import { expect, it } from "vitest";
import type { Log, LogRecord } from "../log.ts";
import { drive, type OpenLog, opened, partitionCount, pollUntil, record, shareAll, text } from "./log-contract-support.ts";

/** The cases about what there is. */
export function describeInspecting(open: OpenLog): void {
  it("a tail up to the end ends there, also behind the mark of a transaction", async () => {
    const { log, topics } = await opened(open);
    const owner = drive(await log.own({ group: topics.group, instance: "one", topic: topics.other, stateTopic: topics.state }));
    await pollUntil([owner], () => owner.owned.size === partitionCount);
    const records = ["a", "b"].map((key) => record(topics.events, 0, key));
    await owner.member.transact({ records, consumed: new Map([[0, 0]]) });
    // A broker shows what was committed a moment later.
    await expect.poll(async () => keysUpTo(log, topics.events, (await log.ends(topics.events))[0])).toEqual(["a", "b"]);
    await log.append([record(topics.events, 0, "c")]);
    const [first = 0, , third = 0] = (await readUpTo(log, topics.events, (await log.ends(topics.events))[0])).map(({ offset }) => offset);
    expect(await keysUpTo(log, topics.events, third)).toEqual(["a", "b"]);
    expect(await keysUpTo(log, topics.events, first)).toEqual([]);
  });

  it("a tail up to an offset that is not there yet waits for it", async () => {
    const { log, topics } = await opened(open);
    const [offset = 0] = await log.append([record(topics.events, 0, "a")]);
    const keys = keysUpTo(log, topics.events, offset + 2);
    await log.append([record(topics.events, 0, "b")]);
    await log.append([record(topics.events, 0, "c")]);
    expect(await keys).toEqual(["a", "b"]);
  });

  it("the beginnings lie at the first record of each partition", async () => {
    const { log, topics } = await opened(open);
    expect(await log.begins(topics.events)).toEqual([0, 0, 0, 0]);
    const [offset] = await log.append([record(topics.events, 1, "a"), record(topics.events, 1, "b")]);
    expect((await log.begins(topics.events))[1]).toBe(offset);
  });

  it("the members of a group are told with their shares, until they leave", async () => {
    const { log, topics } = await opened(open);
    expect(await log.members(topics.group)).toEqual([]);
    const [one, two] = [await join("one"), await join("two")];
    await pollUntil([one, two], () => shareAll(one, two));
    const shares = [one, two].map(({ owned }) => [...owned].toSorted((a, b) => a - b));
    await expect.poll(() => membersOf(log, topics.group)).toEqual({ one: shares[0], two: shares[1] });
    await two.member[Symbol.asyncDispose]();
    await pollUntil([one], () => one.owned.size === partitionCount);
    await expect.poll(() => membersOf(log, topics.group)).toEqual({ one: [0, 1, 2, 3] });

    async function join(instance: string) {
      return drive(await log.consume({ group: topics.group, instance, topic: topics.events }));
    }
  });

  it("the latest values are told once through, with the present one of a key last", async () => {
    const { log, topics } = await opened(open);
    expect(await latestOf(log, topics.state)).toEqual({});
    const state = (key: string, value: string | null, partition = 0) => {
      return { topic: topics.state, partition, key, value: value === null ? null : text(value) };
    };
    await log.append([state("a", "first"), state("gone", "soon"), state("ä", "1"), state("", "none"), state("elsewhere", "x", 1)]);
    await log.append([state("gone", null), state("a", "second")]);
    expect(await latestOf(log, topics.state)).toEqual({ "": "none", a: "second", ä: "1" });
    expect(await latestOf(log, topics.state, 1)).toEqual({ elsewhere: "x" });
    expect(await latestOf(log, topics.state, 0, ["a", "gone", "elsewhere"])).toEqual({ a: "second" });
  });

  it("the latest values are those of one moment, whatever is written while they are read", async () => {
    const { log, topics } = await opened(open);
    const large = (key: string, value: string) => ({ topic: topics.state, partition: 0, key, value: text(value.repeat(300_000)) });
    const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`);
    await log.append(keys.map((key) => large(key, "a")));
    const found = new Map<string, string>();
    for await (const values of log.latest(topics.state, 0)) {
      if (found.size === 0) await log.append([...keys, "later"].map((key) => large(key, "b")));
      for (const { key, value } of values) found.set(key, new TextDecoder().decode(value?.subarray(0, 1)));
    }
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(keys.map((key) => [key, "a"])));
  });

  it("thousands of latest values come, whatever their size", async () => {
    const { log, topics } = await opened(open);
    const keys = Array.from({ length: 3_000 }, (_, index) => `key-${index}`);
    await log.append(keys.map((key) => ({ topic: topics.state, partition: 0, key, value: text(key) })));
    const large = new Uint8Array(700_000);
    await log.append(["large-1", "large-2"].map((key) => ({ topic: topics.state, partition: 0, key, value: large })));
    expect(Object.keys(await latestOf(log, topics.state)).toSorted()).toEqual([...keys, "large-1", "large-2"].toSorted());
  });
}

async function keysUpTo(log: Log, topic: string, to?: number): Promise<readonly string[]> {
  return (await readUpTo(log, topic, to)).map(({ key }) => key);
}

async function readUpTo(log: Log, topic: string, to = 0): Promise<readonly LogRecord[]> {
  const batches = await Array.fromAsync(await log.tail({ topic, partition: 0, from: 0, to, signal: new AbortController().signal }));
  return batches.flat();
}

async function membersOf(log: Log, group: string) {
  return Object.fromEntries((await log.members(group)).map(({ instance, partitions }) => [instance, partitions]));
}

async function latestOf(log: Log, topic: string, partition = 0, keys?: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const found = new Map<string, string>();
  for await (const values of log.latest(topic, partition, keys)) {
    for (const { key, value } of values) {
      if (value === null) found.delete(key);
      else found.set(key, new TextDecoder().decode(value));
    }
  }
  return Object.fromEntries(found);
}
