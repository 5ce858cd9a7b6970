/** What the tests of the log's contract share. Everything waits for conditions: a broker may take seconds where the embedded log does not. */

import { expect, onTestFinished } from "vitest";
import type { Consumer, Log, LogRecord, NewRecord, Poll, Topic } from "../log.ts";

/** A new log and the connections that a test needs. Disposing of it closes and removes everything. */
export interface LogUnderTest extends AsyncDisposable {
  readonly log: Log;
  /** Another connection to the same log, as another process would have it. */
  connect(): Promise<Log>;
  /** Closes the log and opens it again. Absent if the records do not outlive it. */
  readonly reopen?: (partitions?: number) => Promise<Log>;
  /** Deletes what lies before an offset, as retention does, and returns the log as it is then. Absent if nothing can. */
  readonly trim?: (topic: string, partition: number, before: number) => Promise<Log>;
}

/** Opens a new log for one test. */
export type OpenLog = (options: { readonly topics: readonly Topic[]; readonly partitions: number }) => Promise<LogUnderTest>;

/** A log with topics and a group of its own. */
export interface Opened extends LogUnderTest {
  readonly topics: {
    readonly events: string;
    readonly other: string;
    readonly state: string;
    readonly live: string;
    readonly group: string;
  };
}

/** Few enough for a test to look at each. */
export const partitionCount = 4;

/** Rebalancing a group takes a broker many seconds. */
const DEADLINE_MS = 45_000;

/** What a driven member polls at most. */
const MAX_BYTES = 1_000_000;

let opens = 0;

/** Opens a log for the test that runs. */
export async function opened(open: OpenLog): Promise<Opened> {
  opens += 1;
  const name = `contract-${process.pid}-${Date.now()}-${opens}`;
  const topics = { events: `${name}.events`, other: `${name}.other`, state: `${name}.state`, live: `${name}.live`, group: `${name}.group` };
  const system = await open({
    partitions: partitionCount,
    topics: [
      { name: topics.events, retention: "forever" },
      { name: topics.other, retention: "days" },
      { name: topics.state, retention: "latest" },
      { name: topics.live, retention: "live" },
    ],
  });
  onTestFinished(() => system[Symbol.asyncDispose]());
  return { ...system, topics };
}

/** Another connection, closed with the test. */
export async function withConnection(system: LogUnderTest): Promise<Log> {
  const log = await system.connect();
  onTestFinished(() => log[Symbol.asyncDispose]());
  return log;
}

/** A text as bytes. */
export function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

/** A record whose value follows from its key. */
export function record(topic: string, partition: number, key: string): NewRecord {
  return { topic, partition, key, value: text(`value of ${key}`) };
}

/** The bytes of records, as a poll counts them at least. */
export function bytesOf(records: readonly LogRecord[]): number {
  const texts = records.flatMap(({ key, headers = {} }) => [key, ...Object.entries(headers).flat()]);
  return records.reduce((sum, { value }) => sum + value.length, 0) + text(texts.join("")).length;
}

/** Everything that was appended to a partition before this call. */
export async function contents(log: Log, topic: string, partition: number): Promise<readonly LogRecord[]> {
  const marker = `marker-${opens}-${Math.random()}`;
  await log.append([record(topic, partition, marker)]);
  const tail = read(log, topic, partition);
  const found = await tail.until((records) => records.at(-1)?.key === marker);
  await tail.stop();
  return found.slice(0, -1).filter(({ key }) => !key.startsWith("marker-"));
}

/** Reads a partition in the background. */
export function read(log: Log, topic: string, partition: number, from: number | "end" = 0) {
  const controller = new AbortController();
  const found: LogRecord[] = [];
  let arrived = Promise.withResolvers<void>();
  const started = log.tail({ topic, partition, from, signal: controller.signal });
  const reading = started.then(async (batches) => {
    for await (const batch of batches) {
      found.push(...batch);
      arrived.resolve();
      arrived = Promise.withResolvers();
    }
  });
  return {
    started,
    async until(done: (found: readonly LogRecord[]) => boolean): Promise<readonly LogRecord[]> {
      while (!done(found)) await Promise.race([arrived.promise, reading]);
      return [...found];
    },
    async stop(): Promise<void> {
      controller.abort();
      await reading;
    },
  };
}

/** A member of a group as the runtime has one: positions what it gains, forgets what it loses, and holds each poll to the port's word. */
export interface Driven<Member extends Consumer = Consumer> {
  readonly member: Member;
  readonly owned: ReadonlySet<number>;
  readonly records: LogRecord[];
  poll(): Promise<Poll>;
}

/** Makes a driven member of one that has just joined. */
export function drive<Member extends Consumer>(member: Member, from: (partition: number) => number = () => 0): Driven<Member> {
  const owned = new Set<number>();
  const records: LogRecord[] = [];
  let generation = 0;
  return {
    member,
    owned,
    records,
    async poll() {
      const poll = await member.poll({ maxRecords: 100, maxBytes: MAX_BYTES, waitMs: 200 });
      for (const partition of poll.lost) expect(owned.delete(partition), `${partition} was lost, but not owned`).toBe(true);
      for (const partition of poll.gained) expect(owned.has(partition), `${partition} was gained, but owned before`).toBe(false);
      expect(poll.generation).toBeGreaterThanOrEqual(generation);
      expect(poll.gained.length + poll.lost.length === 0 || poll.generation > generation).toBe(true);
      generation = poll.generation;
      for (const partition of poll.gained) {
        owned.add(partition);
        member.seek(partition, from(partition));
      }
      expect(poll.records.length).toBeLessThanOrEqual(100);
      expect(poll.records.length <= 1 || bytesOf(poll.records) <= MAX_BYTES).toBe(true);
      for (const { partition } of poll.records) expect(owned).toContain(partition);
      records.push(...poll.records);
      return poll;
    },
  };
}

/** Lets all members poll side by side until a condition holds. */
export async function pollUntil(members: readonly Driven[], done: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + DEADLINE_MS;
  while (!done()) {
    if (Date.now() > deadlineMs)
      throw new Error(`waited in vain; owned: ${members.map(({ owned }) => `[${[...owned].join()}]`).join(" ")}`);
    await Promise.all(members.map((member) => member.poll()));
  }
}

/** Whether the members together own each partition once, spread as evenly as can be. */
export function shareAll(...members: readonly Driven[]): boolean {
  const owned = members.flatMap((member) => [...member.owned]);
  const sizes = members.map((member) => member.owned.size);
  return owned.length === partitionCount && new Set(owned).size === partitionCount && Math.max(...sizes) - Math.min(...sizes) <= 1;
}
