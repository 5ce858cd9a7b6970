/** What a run has left: the log as Kafka's own client and tools read it, and the documents as they are stored. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Document, MongoClient } from "mongodb";
import type { LogRecord } from "../../internal/cqrs/log.ts";
import { orderGroups, orderTopics } from "../support/order-domain.ts";

/** A batch of a partition as it lies in a broker's files. */
export interface Batch {
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
}

export interface LogDump {
  /** By topic and partition, in the order of the log; a null value is empty. */
  records(topic: string, partition: number): readonly LogRecord[];
  /** How far readers of committed and of all records come. */
  readonly ends: readonly { readonly topic: string; readonly partition: number; readonly stable: number; readonly high: number }[];
  /** What the handlers' group has committed, per partition. */
  readonly committed: ReadonlyMap<number, number>;
}

type Line =
  | {
      readonly topic: string;
      readonly partition: number;
      readonly offset: number;
      readonly timestamp: number;
      readonly key: string | null;
      readonly value: string | null;
      readonly headers: Readonly<Record<string, string | null>>;
    }
  | { readonly end: string; readonly partition: number; readonly stable: number; readonly high: number }
  | { readonly committed: string; readonly partition: number; readonly offset: number };

const topics = [orderTopics.commands, orderTopics.events, orderTopics.state, orderTopics.deadLetters].map(({ name }) => name);

const HEAP = "-Xmx512m";

export async function dumpLog(libraries: string, brokers: readonly string[]): Promise<LogDump> {
  const records = new Map<string, LogRecord[]>();
  const ends: { topic: string; partition: number; stable: number; high: number }[] = [];
  const committed = new Map<number, number>();
  const program = join(import.meta.dirname, "DumpLog.java");
  for await (const text of linesOf([HEAP, "-cp", join(libraries, "*"), program, brokers.join(), orderGroups.handler, ...topics])) {
    if (!text.startsWith("{")) continue;
    const line = JSON.parse(text) as Line;
    if ("end" in line) ends.push({ ...line, topic: line.end });
    else if ("committed" in line) committed.set(line.partition, line.offset);
    else {
      const place = `${line.partition}/${line.topic}`;
      const known = records.get(place) ?? [];
      records.set(place, known);
      known.push({
        partition: line.partition,
        offset: line.offset,
        key: decoded(line.key).toString(),
        value: decoded(line.value),
        timestampMs: line.timestamp,
        headers: Object.fromEntries(Object.entries(line.headers).map(([name, value]) => [name, decoded(value).toString()])),
      });
    }
  }
  return { ends, committed, records: (topic, partition) => records.get(`${partition}/${topic}`) ?? [] };
}

/** The batches of a topic in the files of one broker. */
export async function dumpBatches(libraries: string, dataDirectory: string, topic: string): Promise<readonly Batch[]> {
  const folders = (await readdir(dataDirectory)).filter((name) => name.startsWith(`${topic}-`));
  const files: string[] = [];
  for (const folder of folders) {
    const segments = (await readdir(join(dataDirectory, folder))).filter((name) => name.endsWith(".log")).toSorted();
    files.push(...segments.map((name) => join(dataDirectory, folder, name)));
  }
  const batches: Batch[] = [];
  let partition = -1;
  for await (const line of linesOf([HEAP, "-cp", join(libraries, "*"), "kafka.tools.DumpLogSegments", "--files", files.join()])) {
    const file = /^Dumping .*-(\d+)\/\d+\.log$/.exec(line);
    if (file !== null) partition = Number(file[1]);
    if (!line.startsWith("baseOffset:")) continue;
    const fields = new Map([...line.matchAll(/(\w+): (\S+)/g)].map(([, name = "", value = ""]) => [name, value]));
    batches.push({
      partition,
      baseOffset: Number(fields.get("baseOffset")),
      lastOffset: Number(fields.get("lastOffset")),
      producerId: Number(fields.get("producerId")),
      producerEpoch: Number(fields.get("producerEpoch")),
      isTransactional: fields.get("isTransactional") === "true",
      isControl: fields.get("isControl") === "true",
    });
  }
  if (batches.length === 0) throw new Error(`there are no batches of ${topic} in ${dataDirectory}`);
  return batches;
}

/** All documents of all collections of the views. */
export async function dumpDocuments(uri: string, database: string): Promise<ReadonlyMap<string, readonly Document[]>> {
  await using client = new MongoClient(uri, { readConcern: { level: "majority" } });
  const db = client.db(database);
  const collections = await db.listCollections().toArray();
  return new Map(await Promise.all(collections.map(async ({ name }) => [name, await db.collection(name).find().toArray()] as const)));
}

async function* linesOf(args: readonly string[]): AsyncGenerator<string> {
  const java = spawn("java", ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(java, "close");
  const complaints: string[] = [];
  createInterface(java.stderr).on("line", (line) => complaints.push(line));
  yield* createInterface(java.stdout);
  const [code] = (await ended) as readonly unknown[];
  if (code !== 0) throw new Error(`java ended with ${String(code)}:\n${complaints.slice(-20).join("\n")}`);
}

function decoded(text: string | null): Buffer {
  return Buffer.from(text ?? "", "base64");
}
