import { expect, it, onTestFinished } from "vitest";
import type { Clock } from "../../cqrs/clock.ts";
import { RecordsGoneError, type Topic } from "../../cqrs/log.ts";
import { Broker } from "./broker.ts";
import { Groups } from "./groups.ts";
import { LogStore } from "./store.ts";

const dayMs = 24 * 60 * 60 * 1000;

const topics: readonly Topic[] = [
  { name: "days", retention: "days" },
  { name: "forever", retention: "forever" },
];

function openStore(): LogStore {
  return new LogStore({ directory: null, partitions: 2, topics });
}

function append(store: LogStore, topic: string, partition: number, count: number, nowMs: number): void {
  const value = new Uint8Array();
  store.transaction(() => {
    for (let index = 0; index < count; index += 1) store.append({ topic, partition, key: "key", value }, nowMs);
  });
}

function offsets(store: LogStore, topic: string, partition = 0): readonly number[] {
  return store
    .read(topic, partition, store.begins(topic)[partition] ?? 0, { maxRecords: 10_000, maxBytes: 1_000_000 })
    .records.map(({ offset }) => offset);
}

it("trimming takes so many of the oldest records, and never the last one", () => {
  const store = openStore();
  onTestFinished(() => store.close());
  append(store, "days", 0, 5, 1_000);
  append(store, "days", 1, 2, 1_000);
  append(store, "days", 0, 2, 2_000);
  for (const partition of [0, 1]) store.commitOffset("owners", "days", partition, 7);
  expect(store.trim("days", 0, 1_500, 3)).toBe(3);
  expect(offsets(store, "days")).toEqual([3, 4, 5, 6]);
  expect(store.trim("days", 0, 5_000, 100)).toBe(3);
  expect(store.trim("days", 0, 5_000, 100)).toBe(0);
  expect(offsets(store, "days")).toEqual([6]);
  expect(offsets(store, "days", 1)).toEqual([0, 1]);
  append(store, "days", 0, 1, 3_000);
  expect(offsets(store, "days")).toEqual([6, 7]);
});

it("trimming takes nothing that a group of owners has not consumed, however wrong the clock is", () => {
  const store = openStore();
  onTestFinished(() => store.close());
  append(store, "days", 0, 9, 1_000);
  expect(store.trim("days", 0, Number.MAX_SAFE_INTEGER, 100)).toBe(0);
  store.commitOffset("ahead", "days", 0, 8);
  store.commitOffset("behind", "days", 0, 5);
  expect(store.trim("days", 0, Number.MAX_SAFE_INTEGER, 100)).toBe(5);
  expect(store.trim("days", 0, Number.MAX_SAFE_INTEGER, 100)).toBe(0);
  expect(offsets(store, "days")).toEqual([5, 6, 7, 8]);
});

it("trimming leaves no gap where the clock went back, and what it took is an error to who reads it", () => {
  const store = openStore();
  onTestFinished(() => store.close());
  append(store, "days", 0, 2, 1_000);
  append(store, "days", 0, 2, 9_000);
  append(store, "days", 0, 2, 1_000);
  store.commitOffset("owners", "days", 0, 6);
  expect(store.trim("days", 0, 5_000, 100)).toBe(2);
  expect(offsets(store, "days")).toEqual([2, 3, 4, 5]);
  expect(() => store.read("days", 0, 1, { maxRecords: 1, maxBytes: 1 })).toThrow(RecordsGoneError);
  expect(() => store.read("days", 0, 7, { maxRecords: 1, maxBytes: 1 })).toThrow(RecordsGoneError);
});

it("a failed transaction leaves records and ends as they were", () => {
  const store = openStore();
  onTestFinished(() => store.close());
  append(store, "forever", 0, 2, 0);
  const failing = () =>
    store.transaction(() => {
      store.append({ topic: "forever", partition: 0, key: "key", value: new Uint8Array() }, 0);
      store.commitOffset("group", "forever", 0, 9);
      throw new Error("half way");
    });
  expect(failing).toThrow("half way");
  expect(offsets(store, "forever")).toEqual([0, 1]);
  expect(store.committed("group", "forever")).toEqual([0, 0]);
  append(store, "forever", 0, 1, 0);
  expect(offsets(store, "forever")).toEqual([0, 1, 2]);
});

it("the records of a topic of days go after a week, those of the others stay", () => {
  const clock = manualClock();
  const store = openStore();
  const broker = new Broker(store, topics, clock);
  onTestFinished(() => broker.close());
  for (const { name } of topics) for (const partition of [0, 1]) append(store, name, partition, 1_200, 0);
  for (const partition of [0, 1]) store.commitOffset("owners", "days", partition, 1_200);
  clock.advance(6 * dayMs);
  for (const { name } of topics) append(store, name, 0, 1, clock.now());
  expect(offsets(store, "days")).toHaveLength(1_201);
  for (let second = 0; second < 60; second += 1) clock.advance((2 * dayMs) / 60);
  expect(offsets(store, "days")).toEqual([1_200]);
  expect(offsets(store, "days", 1)).toEqual([1_199]);
  expect(offsets(store, "forever")).toHaveLength(1_201);
});

it("however members come and go, partitions are spread evenly and few of them move", () => {
  for (let partitions = 1; partitions <= 12; partitions += 1) {
    const groups = new Groups(partitions);
    const members = Array.from({ length: 6 }, (_, index) => {
      const member = groups.join("group", "topic", String(index));
      expectEven(groups, partitions, index + 1);
      return member;
    });
    members.slice(1).forEach((member, index) => {
      groups.leave(member.id);
      expectEven(groups, partitions, 5 - index);
    });
  }

  function expectEven(groups: Groups, partitions: number, members: number): void {
    const [least, most] = [Math.floor(partitions / members), Math.ceil(partitions / members)];
    const owned = sizes(groups, partitions);
    expect(owned.reduce((sum, size) => sum + size, 0)).toBe(partitions);
    expect(owned.filter((size) => size < least || size > most)).toEqual([]);
    expect(owned).toHaveLength(Math.min(members, partitions));
  }
});

/** How many partitions each member has that has any. */
function sizes(groups: Groups, partitions: number): readonly number[] {
  const owners = new Map<number, number>();
  for (let id = 1; id <= 6; id += 1) {
    const owned = ownedBy(groups, id, partitions);
    if (owned > 0) owners.set(id, owned);
  }
  return [...owners.values()];
}

function ownedBy(groups: Groups, id: number, partitions: number): number {
  try {
    const member = groups.member(id);
    groups.changes(member);
    return Array.from({ length: partitions }, (_, partition) => groups.owns(member, partition)).filter(Boolean).length;
  } catch {
    return 0;
  }
}

/** A clock that stands until it is advanced. */
function manualClock(): Clock & { advance(byMs: number): void } {
  let nowMs = 0;
  const pending = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  return {
    now: () => nowMs,
    after(delayMs, callback) {
      const timer = { atMs: nowMs + delayMs, callback };
      pending.add(timer);
      return () => pending.delete(timer);
    },
    advance(byMs) {
      nowMs += byMs;
      for (const timer of Array.from(pending)) {
        if (timer.atMs > nowMs) continue;
        pending.delete(timer);
        timer.callback();
      }
    },
  };
}
