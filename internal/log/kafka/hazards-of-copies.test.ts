/** What happens to the local copy of the state while its owner is away; docs/decisions/kafka-reads-where-it-is-told.md has the list. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import type { LogRecord, Owner } from "../../cqrs/log.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, type KafkaConfig } from "./kafkajs.ts";
import { startOwner } from "./owner.ts";
import { createStateReader } from "./state-reader.ts";
import { markOf, type RecordMark, StateStore } from "./state-store.ts";
import { type OpenedLog, openedAdmin, openedLog, record, tookOver } from "./testing/opened-log.ts";

const HOUR_MS = 60 * 60 * 1000;

describe.skipIf(kafka === undefined)("the local copy of the state", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("of topics that were deleted, created again and filled past its end is thrown away", async () => {
    const before = await openedLog(server);
    const directory = folder();
    await using owner = await own(before, directory);
    for (let count = 1; count <= 5; count += 1) await owner.transact(state(before, "order", count));
    await owner[Symbol.asyncDispose]();
    await before.log[Symbol.asyncDispose]();
    const admin = await openedAdmin(before.config);
    await admin.deleteTopics({ topics: Object.values(before.topics) });
    const after = await recreated(server, before);
    await using other = await own(after, null);
    await other.transact(state(after, "order", 50));
    for (let count = 1; count <= 30; count += 1) await other.transact(state(after, "another", count));
    await other[Symbol.asyncDispose]();

    await using back = await own(after, directory);
    expect(await texts(back, ["order", "another"])).toEqual(["50", "30"]);
  });

  it("is believed as long as its last record is where it was, with whatever was written since", async () => {
    const opened = await filled(server, 3);
    const [, last] = await stateOf(opened);
    expect(await takenOver(opened, markFrom(last))).toEqual({ "order-0": "copied", "order-2": "value of order-2" });
  });

  const others: readonly (readonly [string, (last: RecordMark) => RecordMark])[] = [
    ["has another record where its last one was", (last) => ({ ...last, checksum: last.checksum + 1 })],
    ["has the same record, written at another time", (last) => ({ ...last, timestampMs: last.timestampMs - 1 })],
    ["has no record where its last one was, but others behind", (last) => ({ ...last, offset: last.offset + 1 })],
    ["has no record where its last one was, nor any behind", (last) => ({ ...last, offset: last.offset + 4 })],
    ["ends before its last record", (last) => ({ ...last, offset: last.offset + 1_000 })],
  ];

  it.each(others)("of a topic that %s is thrown away", async (_, changed) => {
    const opened = await filled(server, 3);
    const [, last] = await stateOf(opened);
    const found = await takenOver(opened, changed(markFrom(last)));
    expect(found).toEqual({ "order-0": "value of order-0", "order-2": "value of order-2" });
  });

  it("whose owner was away for so long that deletions may be missing is thrown away, unless nothing was written", async () => {
    const opened = await filled(server, 3);
    const [, middle, last] = await stateOf(opened);
    expect(await takenOver(opened, markFrom(middle), 11 * HOUR_MS)).toMatchObject({ "order-0": "copied" });
    expect(await takenOver(opened, markFrom(middle), 13 * HOUR_MS)).toMatchObject({ "order-0": "value of order-0" });
    expect(await takenOver(opened, markFrom(last), 13 * HOUR_MS)).toMatchObject({ "order-0": "copied" });
  });

  it("that is found damaged while it is read is made again, and nothing that it held is missing", async () => {
    const opened = await filled(server, 3);
    const [, last] = await stateOf(opened);
    const directory = folder();
    const copy = { directory, topic: opened.topics.state, topicId: opened.log.topicId(opened.topics.state) };
    planted(copy, markFrom(last));

    const file = new DatabaseSync(join(directory, `${opened.topics.state}.sqlite`));
    file.exec("UPDATE state SET value = x'00'");
    file.close();
    await using damaged = await own(opened, directory);
    await expect(damaged.load(0, ["order-0"])).rejects.toThrow("the local copy of the state was damaged");
    await damaged[Symbol.asyncDispose]();
    await using again = await own(opened, directory);
    expect(await texts(again, ["order-0", "order-2"])).toEqual(["value of order-0", "value of order-2"]);
  });

  it("notices that its topic was created again while its owner works", async () => {
    const opened = await filled(server, 3);
    await using owner = await own(opened, null);
    const admin = await openedAdmin(opened.config);
    await admin.deleteTopics({ topics: [opened.topics.state] });
    await expect
      .poll(async () => {
        const outcome = await owner.transact(state(opened, "order", 1)).catch((error: unknown) => error);
        if (outcome === undefined) return "written";
        await recreated(server, opened).catch(() => undefined);
        return outcome instanceof Error ? outcome.name : outcome;
      })
      .toBe("FencedError");
  });
});

/** A log with so many orders in its state, each with the marker of its transaction behind. */
async function filled(server: KafkaServer, orders: number): Promise<OpenedLog> {
  const opened = await openedLog(server);
  await using owner = await own(opened, null);
  for (let index = 0; index < orders; index += 1) {
    await owner.transact({ records: [record(opened.topics.state, `order-${index}`)], consumed: new Map([[0, index + 1]]) });
  }
  return opened;
}

/** What is loaded of a copy that holds up to a mark, with a value by which it can be told from the topic. */
async function takenOver({ log, config, topics }: OpenedLog, last: RecordMark, laterByMs = 0): Promise<Record<string, string>> {
  const store = planted({ directory: folder(), topic: topics.state, topicId: log.topicId(topics.state) }, last, false);
  await using fetcher = await openedFetcher(config, topics.state);
  const reader = createStateReader({ store, fetcher, endTransactionOf: () => Promise.resolve(), now: () => Date.now() + laterByMs });
  await reader.read([0]);
  const keys = ["order-0", "order-2"];
  const values = store.load(0, keys);
  store.close();
  return Object.fromEntries(keys.map((key, index) => [key, new TextDecoder().decode(values[index])]));
}

function planted(options: ConstructorParameters<typeof StateStore>[0], last: RecordMark, isClosed = true): StateStore {
  const store = new StateStore(options);
  store.apply([
    { partition: 0, records: [{ key: "order-0", value: new TextEncoder().encode("copied") }], position: { last, writer: undefined } },
  ]);
  if (isClosed) store.close();
  return store;
}

async function stateOf({ log, topics }: OpenedLog): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  const [to = 0] = await log.ends(topics.state);
  for await (const batch of await log.tail({ topic: topics.state, partition: 0, from: 0, to, signal: new AbortController().signal })) {
    records.push(...batch);
  }
  return records;
}

function markFrom(found: LogRecord | undefined): RecordMark {
  if (found === undefined) throw new Error("there is no such record");
  return markOf(found, { offset: found.offset, timestampMs: found.timestampMs });
}

async function openedFetcher(config: KafkaConfig, topic: string): Promise<Fetcher> {
  const fetcher = new Fetcher(createCluster(config), topic);
  await fetcher.open();
  return fetcher;
}

/** An owner with a copy in a folder, that has taken the partition over. */
async function own({ config, log, group, topics }: OpenedLog, stateDirectory: string | null): Promise<Owner> {
  const context = { config, log, stateDirectory, check: () => undefined };
  const owner = await startOwner(context, { group, instance: "one", topic: topics.events, stateTopic: topics.state });
  await tookOver(owner);
  return owner;
}

/** The log under the same names, whose topics are created if they are not there. */
function recreated(server: KafkaServer, { topics }: OpenedLog): Promise<OpenedLog> {
  return openedLog(server, 1, topics.state.slice(0, -".state".length));
}

function state({ topics }: OpenedLog, key: string, count: number) {
  return {
    records: [{ topic: topics.state, partition: 0, key, value: new TextEncoder().encode(String(count)) }],
    consumed: new Map([[0, count]]),
  };
}

async function texts(owner: Owner, keys: readonly string[]): Promise<readonly string[]> {
  return (await owner.load(0, keys)).map((value) => new TextDecoder().decode(value));
}

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), "headwater-copies-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}
