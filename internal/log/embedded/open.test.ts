import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
