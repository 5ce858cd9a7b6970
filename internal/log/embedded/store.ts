/** The records of the embedded log in SQLite: partitions, offsets, retention. Synchronous; lives in the log's worker thread. */

import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type LatestValue, type LogRecord, type NewRecord, RecordsGoneError, type Retention, type Topic } from "../../cqrs/log.ts";
import { checkSize } from "../../cqrs/record-bytes.ts";

/** A record's rowid is its slot (topic and partition) and its offset; 2^40 records fit into a slot, 2^13 slots into a rowid. */
const OFFSETS_PER_SLOT = 2 ** 40;
const MAX_SLOTS = 2 ** 13;

/** SQLite copies the write-ahead log back after so many pages (64 MiB): rarer than its default, since each copy stalls the writer. */
const WAL_CHECKPOINT_PAGES = 16_384;

/** What SQLite may keep in memory. The log is read at its end, so a small cache is enough. */
const CACHE_KIB = 16_384;

/** Enough to use several cores, few enough that a small machine does not notice. */
const DEFAULT_PARTITIONS = 8;

/** Changes to the tables below need a new number and a migration. */
const SCHEMA_VERSION = 2;

export interface StoreOptions {
  /** Where the file is; null keeps everything in memory. */
  readonly directory: string | null;
  /** Absent: what the log was created with, or {@link DEFAULT_PARTITIONS} for a new one. */
  readonly partitions?: number | undefined;
  readonly topics: readonly Topic[];
}

/** How much is read at once. */
export interface ReadLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
  /** Whether the first record is read even if it is larger than that. Default true. */
  readonly atLeastOne?: boolean;
}

/** What was read. */
export interface Read {
  readonly records: readonly LogRecord[];
  /** Their keys, values and headers. */
  readonly bytes: number;
}

interface OpenTopic {
  readonly name: string;
  readonly id: string;
  readonly retention: Retention;
  readonly firstSlot: number;
  /** The offset of the first record, per partition; the end where there is none. */
  readonly begins: number[];
  /** The offset behind the last record, per partition. */
  readonly ends: number[];
}

export class LogStore {
  readonly id: string;
  readonly partitions: number;
  readonly #db: DatabaseSync;
  readonly #topics = new Map<string, OpenTopic>();
  readonly #insert: StatementSync;
  readonly #upsert: StatementSync;
  readonly #remove: StatementSync;
  readonly #read: StatementSync;
  readonly #latest: StatementSync;
  readonly #all: StatementSync;
  readonly #commitOffset: StatementSync;
  readonly #oldest: StatementSync;
  readonly #trim: StatementSync;
  readonly #consumed: StatementSync;

  constructor(options: StoreOptions) {
    this.#db = openDatabase(options.directory);
    this.id = this.#meta("id", () => randomUUID());
    this.partitions = Number(this.#meta("partitions", () => String(options.partitions ?? DEFAULT_PARTITIONS)));
    if (options.partitions !== undefined && this.partitions !== options.partitions) {
      throw new Error(
        `the log has ${this.partitions} partitions, not ${options.partitions}: the number is fixed when a log is created, since keys would change their partition`,
      );
    }
    this.#insert = this.#db.prepare("INSERT INTO records (position, key, value, headers, timestamp_ms) VALUES (?, ?, ?, ?, ?)");
    this.#upsert = this.#db.prepare(
      "INSERT INTO latest (slot, key, value) VALUES (?, ?, ?) ON CONFLICT (slot, key) DO UPDATE SET value = excluded.value",
    );
    this.#remove = this.#db.prepare("DELETE FROM latest WHERE slot = ? AND key = ?");
    this.#read = this.#db.prepare(
      `SELECT position, key, value, headers, timestamp_ms, octet_length(key) + octet_length(value) + ifnull(octet_length(headers), 0) AS bytes
      FROM records WHERE position >= ? AND position < ? ORDER BY position LIMIT ?`,
    );
    this.#latest = this.#db.prepare("SELECT value FROM latest WHERE slot = ? AND key = ?");
    this.#all = this.#db.prepare("SELECT key, value FROM latest WHERE slot = ?");
    this.#commitOffset = this.#db.prepare(
      "INSERT INTO offsets (consumer_group, slot, next_offset) VALUES (?, ?, ?) ON CONFLICT (consumer_group, slot) DO UPDATE SET next_offset = excluded.next_offset",
    );
    this.#oldest = this.#db.prepare(
      "SELECT position, timestamp_ms FROM records WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
    );
    this.#trim = this.#db.prepare("DELETE FROM records WHERE position >= ? AND position <= ?");
    this.#consumed = this.#db.prepare("SELECT min(next_offset) AS consumed FROM offsets WHERE slot = ?");
    for (const topic of options.topics) this.#openTopic(topic);
  }

  /** The id of each topic, by name. */
  topicIds(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#topics.values()].map(({ name, id }) => [name, id]));
  }

  topic(name: string): OpenTopic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new TypeError(`the log was opened without the topic ${name}`);
    return topic;
  }

  /** @throws {TypeError | RangeError | RecordsTooLargeError} there is no such topic or partition, or it cannot take the record */
  check(record: NewRecord): void {
    const { topic: name, partition, value } = record;
    const topic = this.topic(name);
    this.#slot(topic, partition);
    if (value === null && topic.retention !== "latest")
      throw new TypeError(`${name} does not keep the latest value of a key: nothing to delete`);
    checkSize(record);
  }

  /** Runs writes in one durable transaction: all or nothing. */
  transaction(writes: () => void): void {
    const ends = [...this.#topics.values()].map((topic) => [...topic.ends]);
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      writes();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      [...this.#topics.values()].forEach((topic, index) => {
        topic.ends.splice(0, topic.ends.length, ...(ends[index] ?? []));
      });
      throw error;
    }
  }

  /** Writes a record within a transaction and returns its offset; -1 where the topic has none. */
  append(record: NewRecord, nowMs: number): number {
    const topic = this.topic(record.topic);
    const slot = this.#slot(topic, record.partition);
    if (topic.retention === "live") return -1;
    if (topic.retention === "latest") {
      if (record.value === null) this.#remove.run(slot, record.key);
      else this.#upsert.run(slot, record.key, record.value);
      return -1;
    }
    const offset = topic.ends[record.partition] ?? 0;
    const headers = record.headers === undefined ? null : JSON.stringify(record.headers);
    this.#insert.run(slot * OFFSETS_PER_SLOT + offset, record.key, record.value, headers, nowMs);
    topic.ends[record.partition] = offset + 1;
    return offset;
  }

  commitOffset(group: string, topicName: string, partition: number, nextOffset: number): void {
    this.#commitOffset.run(group, this.#slot(this.topic(topicName), partition), nextOffset);
  }

  committed(group: string, topicName: string): readonly number[] {
    const { firstSlot } = this.topic(topicName);
    const select = this.#db.prepare("SELECT next_offset FROM offsets WHERE consumer_group = ? AND slot = ?");
    return Array.from({ length: this.partitions }, (_, partition) =>
      Number(select.get(group, firstSlot + partition)?.["next_offset"] ?? 0),
    );
  }

  begins(topicName: string): readonly number[] {
    return this.topic(topicName).begins;
  }

  /** @throws {RecordsGoneError} the first record to read was deleted */
  read(topicName: string, partition: number, from: number, { maxRecords, maxBytes, atLeastOne = true }: ReadLimits): Read {
    const topic = this.topic(topicName);
    const records: LogRecord[] = [];
    let bytes = 0;
    const [begin = 0, end = 0] = [topic.begins[partition], topic.ends[partition]];
    if (from < begin || from > end) {
      const there = from < begin ? `begins at ${begin}: what lay between was deleted` : `ends at ${end}: it lost its end`;
      throw new RecordsGoneError(`the record at ${from} was to be read next, and partition ${partition} of ${topicName} ${there}`);
    }
    if (from === end) return { records, bytes };
    const base = this.#slot(topic, partition) * OFFSETS_PER_SLOT;
    for (const row of this.#read.iterate(base + from, base + OFFSETS_PER_SLOT, maxRecords)) {
      const more = bytes + (row["bytes"] as number);
      if (more > maxBytes && !(atLeastOne && records.length === 0)) break;
      records.push(recordFromRow(row, partition, base));
      bytes = more;
    }
    return { records, bytes };
  }

  latest(topicName: string, partition: number, keys: readonly string[]): (Uint8Array | undefined)[] {
    const slot = this.#slot(this.topic(topicName), partition);
    return keys.map((key) => this.#latest.get(slot, key)?.["value"] as Uint8Array | undefined);
  }

  /** All latest values of a partition. */
  all(topicName: string, partition: number): LatestValue[] {
    return this.#all.all(this.#slot(this.topic(topicName), partition)) as unknown as LatestValue[];
  }

  /**
   * Deletes at most `limit` records of a partition that are older than a time, and returns how many. It
   * never deletes the last one, nor one that a group of owners has not consumed: a clock that is wrong
   * must not lose what nobody has decided.
   */
  trim(topicName: string, partition: number, olderThanMs: number, limit: number): number {
    const topic = this.topic(topicName);
    const slot = this.#slot(topic, partition);
    const base = slot * OFFSETS_PER_SLOT;
    const consumed = Number(this.#consumed.get(slot)?.["consumed"] ?? 0);
    const bound = base + Math.min(consumed, Math.max(0, (topic.ends[partition] ?? 0) - 1));
    // Only from the first one on without a gap: where a clock went back, a younger record may lie before an older one.
    const found = this.#oldest.all(base, bound, limit);
    const younger = found.findIndex((row) => Number(row["timestamp_ms"]) >= olderThanMs);
    const last = found.at((younger === -1 ? found.length : younger) - 1);
    if (younger === 0 || last === undefined) return 0;
    const position = Number(last["position"]);
    const { changes } = this.#trim.run(base, position);
    topic.begins[partition] = position - base + 1;
    return Number(changes);
  }

  close(): void {
    this.#db.close();
  }

  #slot(topic: OpenTopic, partition: number): number {
    if (!(partition >= 0 && partition < this.partitions)) throw new RangeError(`${topic.name} has no partition ${partition}`);
    return topic.firstSlot + partition;
  }

  #openTopic({ name, retention }: Topic): void {
    const known = this.#db.prepare("SELECT id, first_slot, retention FROM topics WHERE name = ?").get(name);
    if (known !== undefined && known["retention"] !== retention) {
      throw new Error(`the topic ${name} was created with the retention "${String(known["retention"])}", not "${retention}"`);
    }
    const id = known === undefined ? randomUUID() : String(known["id"]);
    const firstSlot = known === undefined ? this.#createTopic({ name, id, retention }) : Number(known["first_slot"]);
    const select = this.#db.prepare(
      "SELECT min(position) AS first, max(position) AS last FROM records WHERE position >= ? AND position < ?",
    );
    const spans = Array.from({ length: this.partitions }, (_, partition) => {
      const base = (firstSlot + partition) * OFFSETS_PER_SLOT;
      const { first, last } = select.get(base, base + OFFSETS_PER_SLOT) ?? {};
      return typeof first === "number" && typeof last === "number" ? { begin: first - base, end: last - base + 1 } : { begin: 0, end: 0 };
    });
    const [begins, ends] = [spans.map(({ begin }) => begin), spans.map(({ end }) => end)];
    this.#topics.set(name, { name, id, retention, firstSlot, begins, ends });
  }

  #createTopic({ name, id, retention }: Topic & { readonly id: string }): number {
    const slots = Number(this.#db.prepare("SELECT count(*) AS topics FROM topics").get()?.["topics"]) * this.partitions;
    if (slots + this.partitions > MAX_SLOTS) throw new Error("the log is full of topics");
    this.#db.prepare("INSERT INTO topics (name, id, retention, first_slot) VALUES (?, ?, ?, ?)").run(name, id, retention, slots);
    return slots;
  }

  #meta(key: string, initial: () => string): string {
    const row = this.#db.prepare("SELECT value FROM meta WHERE key = ?").get(key);
    if (row !== undefined) return String(row["value"]);
    const value = initial();
    this.#db.prepare("INSERT INTO meta (key, value) VALUES (?, ?)").run(key, value);
    return value;
  }
}

function openDatabase(directory: string | null): DatabaseSync {
  if (directory === null) return openFile(":memory:");
  const path = join(directory, "log.sqlite");
  try {
    mkdirSync(directory, { recursive: true });
    return openFile(path);
  } catch (error) {
    // SQLite names no file, and the file system no option.
    if (!(error instanceof Error && "code" in error)) throw error;
    const advice =
      "check that it is a log of this program, that this user may write to the folder, and the disk; --data names another folder";
    throw new Error(`${path} cannot be used: ${error.message}; ${advice}`, { cause: error });
  }
}

function openFile(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  // FULL: a commit returns when its pages are on the disk, and an acknowledgement follows the commit. On macOS only fullfsync makes a disk write
  // what it holds; elsewhere it says nothing. EXCLUSIVE: a second process that opens the same folder is refused instead of becoming a second
  // writer.
  db.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA wal_autocheckpoint = ${WAL_CHECKPOINT_PAGES};
  `);
  const version = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version > SCHEMA_VERSION) throw new Error(`the log was written by a newer version of this program (schema ${version})`);
  if (version > 0 && version < SCHEMA_VERSION) {
    throw new Error(`the log was written by a version before the first release (schema ${version}); choose another folder with --data`);
  }
  db.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, id TEXT NOT NULL, retention TEXT NOT NULL, first_slot INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS records (
      position INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, headers TEXT, timestamp_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS latest (slot INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (slot, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS offsets (
      consumer_group TEXT NOT NULL, slot INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (consumer_group, slot)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = ${SCHEMA_VERSION};
    COMMIT;
  `);
  return db;
}

function recordFromRow(row: Record<string, unknown>, partition: number, base: number): LogRecord {
  const record = {
    partition,
    offset: (row["position"] as number) - base,
    key: row["key"] as string,
    value: row["value"] as Uint8Array,
    timestampMs: row["timestamp_ms"] as number,
  };
  return row["headers"] === null ? record : { ...record, headers: JSON.parse(row["headers"] as string) as Record<string, string> };
}
