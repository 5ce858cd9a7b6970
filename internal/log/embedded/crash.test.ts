/** What is left of the embedded log when its process or its disk ends without warning. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { expect, it, onTestFinished } from "vitest";
import type { Log } from "../../cqrs/log.ts";
import { openEmbeddedLog } from "./open.ts";
import { type Acknowledged, partitions, topics } from "./testing/writer-log.ts";

const kills = 12;

it(`${kills} times killed without warning, the log has lost nothing that it acknowledged, and no half of a transaction`, async () => {
  const directory = await newDirectory();
  const acknowledged: Acknowledged[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    const writer = startWriter("exec", directory);
    const exited = once(writer, "exit");
    let lines = 0;
    for await (const line of createInterface(writer.stdout)) {
      acknowledged.push(JSON.parse(line) as Acknowledged);
      lines += 1;
      // At another point of the work each time, and all that was printed before the end is read.
      if (lines === 40 + 37 * kill) writer.kill("SIGKILL");
    }
    expect(await exited).toEqual([null, "SIGKILL"]);
    await expectWhole(directory, acknowledged);
  }
  expect(acknowledged.some((each) => "transaction" in each)).toBe(true);
});

it("a disk that takes no more is an error of the writer, and the log stays whole", async () => {
  const directory = await newDirectory();
  const writer = startWriter("ulimit -f 2048 && exec", directory, "20000");
  const exited = once(writer, "exit");
  const lines = await Array.fromAsync(createInterface(writer.stdout), (line) => JSON.parse(line) as Acknowledged);
  const errors = lines.flatMap((line) => ("error" in line ? [line] : []));
  expect(errors).toHaveLength(1);
  expect(errors[0]?.error).toMatch(/^LogUnavailableError: the embedded log cannot write: /);
  expect(errors[0]?.ends.some((end) => end > 0)).toBe(true);
  expect(await exited).toEqual([3, null]);
  await expectWhole(directory, lines);
});

it("a folder in use by another process is refused, until that process ends", async () => {
  const directory = await newDirectory();
  const writer = startWriter("exec", directory);
  await once(writer.stdout.resume(), "data");
  await expect(open(directory)).rejects.toThrow(`${directory} is in use by another process`);
  const exited = once(writer, "exit");
  writer.kill("SIGKILL");
  await exited;
  await using _log = await open(directory);
});

it("a folder that cannot be one is refused with its name and what to do", async () => {
  const file = join(await newDirectory(), "file");
  await writeFile(file, "");
  for (const directory of [file, join(file, "below")]) {
    await expect(open(directory)).rejects.toThrow(new RegExp(`${directory}/log.sqlite cannot be used: .*--data names another folder`));
  }
});

it("a file that is no log is refused", async () => {
  const directory = await newDirectory();
  await writeFile(join(directory, "log.sqlite"), "this is no database, and long enough to be taken for a page of one".repeat(100));
  await expect(open(directory)).rejects.toThrow("not a database");
});

function open(directory: string) {
  return openEmbeddedLog({ directory, partitions, topics: Object.values(topics) });
}

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "headwater-crash-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

function startWriter(start: string, ...args: readonly string[]): ChildProcessByStdio<null, Readable, null> {
  const fixture = join(import.meta.dirname, "writer.fixture.ts");
  const writer = spawn("sh", ["-c", `${start} "$0" "$@"`, process.execPath, fixture, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void writer.kill("SIGKILL"));
  return writer;
}

async function expectWhole(directory: string, acknowledged: readonly Acknowledged[]): Promise<void> {
  await using log = await open(directory);
  const commands = await Promise.all([0, 1].map((partition) => keys(log, topics.commands.name, partition)));
  const lost = acknowledged.filter((each) => "offset" in each && commands[each.partition]?.[each.offset] !== each.key);
  expect(lost).toEqual([]);

  const last = acknowledged.reduce((most, each) => ("transaction" in each ? Math.max(most, each.transaction) : most), 0);
  const [left = [], right = []] = await Promise.all([0, 1].map((partition) => keys(log, topics.events.name, partition)));
  expect(left).toEqual(Array.from({ length: left.length }, (_, index) => String(index + 1)));
  expect(right).toEqual(left);
  expect(left.length).toBeGreaterThanOrEqual(last);
  expect((await log.committed("writers", topics.commands.name))[0]).toBe(left.length);
  await using owner = await log.own({ group: "checker", instance: "checker", topic: topics.commands.name, stateTopic: topics.state.name });
  await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 1_000 });
  const [state] = await owner.load(0, ["transactions"]);
  expect(new TextDecoder().decode(state ?? new Uint8Array())).toBe(left.at(-1) ?? "");
}

async function keys(log: Log, topic: string, partition: number): Promise<readonly string[]> {
  const end = (await log.ends(topic))[partition] ?? 0;
  const found: string[] = [];
  const controller = new AbortController();
  if (end === 0) return found;
  for await (const batch of await log.tail({ topic, partition, from: 0, signal: controller.signal })) {
    found.push(...batch.map(({ key }) => key));
    if (found.length >= end) controller.abort();
  }
  return found;
}
