import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { LogUnavailableError } from "../../cqrs/log.ts";
import { describeLog } from "../../cqrs/testing/log-contract.ts";
import type { LogUnderTest } from "../../cqrs/testing/log-contract-support.ts";
import { connectEmbeddedLog } from "./client.ts";
import { type EmbeddedLogOptions, openEmbeddedLog } from "./open.ts";
import { LogStore } from "./store.ts";

describeLog("the embedded log in memory", (options) => underTest({ ...options, directory: null }));

describeLog("the embedded log in a folder", async (options) =>
  underTest({ ...options, directory: await mkdtemp(join(tmpdir(), "headwater-log-")) }),
);

describeLog("the embedded log through a port", async (options) => {
  const system = await underTest({ ...options, directory: null });
  return { ...system, log: await system.connect() };
});

it("notifications that nobody reads are dropped, the oldest first, before they take much memory", async () => {
  await using system = await underTest({ directory: null, partitions: 1, topics: [{ name: "live", retention: "live" }] });
  const { log } = system;
  const live = await log.tail({ topic: "live", partition: 0, from: "end", signal: new AbortController().signal });
  const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`);
  for (const key of keys) await log.append([{ topic: "live", partition: 0, key, value: new Uint8Array(300_000) }]);
  for await (const records of live) {
    const bytes = records.reduce((sum, { value }) => sum + value.length, 0);
    expect(bytes).toBeLessThanOrEqual(32 * 1024 * 1024);
    expect(bytes).toBeGreaterThan(30 * 1024 * 1024);
    expect(records.map(({ key }) => key)).toEqual(keys.slice(-records.length));
    break;
  }
});

it("a log that does not keep up tells callers to come back, before what they append takes much memory", async () => {
  await using system = await underTest({ directory: null, partitions: 1, topics: [{ name: "events", retention: "forever" }] });
  const { log } = system;
  const value = new Uint8Array(1_000_000);
  const appends = Array.from({ length: 100 }, (_, index) => log.append([{ topic: "events", partition: 0, key: String(index), value }]));
  const results = await Promise.allSettled(appends);
  const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  for (const error of refused) expect(error).toBeInstanceOf(LogUnavailableError);
  expect(results.length - refused.length).toBe(67);
  expect(await log.append([{ topic: "events", partition: 0, key: "later", value }])).toEqual([67]);
});

it("a file that is no log is named, with what to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "headwater-log-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "log.sqlite"), "something else, and long enough to be looked at".repeat(100));
  const opening = openEmbeddedLog({ directory, topics: [{ name: "events", retention: "forever" }] });
  await expect(opening).rejects.toThrow(`${join(directory, "log.sqlite")} cannot be used: file is not a database; check that`);
});

async function underTest(options: EmbeddedLogOptions): Promise<LogUnderTest> {
  const { directory } = options;
  let log = await openEmbeddedLog(options);
  const reopen = async (partitions = options.partitions ?? 0) => {
    await log[Symbol.asyncDispose]();
    log = await openEmbeddedLog({ ...options, partitions });
    return log;
  };
  const trim = async (topic: string, partition: number, before: number) => {
    await log[Symbol.asyncDispose]();
    const store = new LogStore(options);
    store.commitOffset("consumed", topic, partition, before);
    store.trim(topic, partition, Number.MAX_SAFE_INTEGER, before);
    store.close();
    return reopen();
  };
  return {
    log,
    connect: () => connectEmbeddedLog(log.connect(), { durable: directory !== null }),
    ...(directory === null ? {} : { reopen, trim }),
    async [Symbol.asyncDispose]() {
      await log[Symbol.asyncDispose]();
      if (directory !== null) await rm(directory, { recursive: true });
    },
  };
}
