/**
 * A local copy of the state topic's partitions, so that a decision does not wait for the network and
 * a takeover reads only what is new. It can be thrown away at any time: the topic is the truth.
 */

import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { LogUnavailableError } from "../../cqrs/log.ts";
import { DamagedCopyError, isDamage, openCopy, removeDamaged } from "../../platform/sqlite-copy.ts";

/** What SQLite may keep in memory; the rest is read from the file. */
const CACHE_KIB = 65_536;

/**
 * SQLite copies the write-ahead log back after so many pages (16 MiB), and waits for the disk then.
 * Rarer would make that wait longer, and more often would make every value dearer.
 */
const WAL_CHECKPOINT_PAGES = 4_096;

/**
 * How many values wait until they are written. A key that changes again meanwhile is written once,
 * and so is a page of the file with many keys; it takes a few milliseconds, for which every decision
 * waits.
 */
const MAX_WAITING = 1_000;
/** And how many bytes of them: some values are large. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/** Raised with the tables below. */
const LAYOUT = 2;

/** With rowids: the values are too large for the inner pages of a table that is its own index. */
const SCHEMA = `
  CREATE TABLE source (topic_id TEXT NOT NULL) STRICT;
  CREATE TABLE state (
    slot INTEGER NOT NULL, key TEXT NOT NULL, checksum INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (slot, key)
  ) STRICT;
  CREATE TABLE positions (
    slot INTEGER PRIMARY KEY, last_offset INTEGER NOT NULL, last_checksum INTEGER NOT NULL, last_timestamp_ms INTEGER NOT NULL, writer TEXT
  ) STRICT
`;

const PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA cache_size = -${CACHE_KIB};
  PRAGMA wal_autocheckpoint = ${WAL_CHECKPOINT_PAGES};
`;

/** A record of the state topic: without a value it deletes its key. */
export interface StateRecord {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/**
 * A record by which a topic is recognised: where another lies at this offset, or none, it is not the
 * topic that was copied.
 */
export interface RecordMark {
  readonly offset: number;
  /** Of its key and value. */
  readonly checksum: number;
  /** When the broker appended it. */
  readonly timestampMs: number;
}

/** How far the copy of a partition goes. */
export interface StatePosition {
  /** The last record that was copied; undefined: none was. */
  readonly last: RecordMark | undefined;
  /** Who wrote it; undefined if that is not known. */
  readonly writer: string | undefined;
}

const NOWHERE: StatePosition = { last: undefined, writer: undefined };

/** The mark of a record of the state topic. */
export function markOf({ key, value }: StateRecord, place: { readonly offset: number; readonly timestampMs: number }): RecordMark {
  return { ...place, checksum: value === null ? crc32(key) : crc32(value, crc32(key)) };
}

/** The offset of the next record to copy. */
export function nextOffset({ last }: StatePosition): number {
  return last === undefined ? 0 : last.offset + 1;
}

/** Where the copy lies, and what it is of. */
export interface StateStoreOptions {
  /** Null keeps it in memory. */
  readonly directory: string | null;
  readonly topic: string;
  /** A copy of another topic, though it has the same name, is thrown away. */
  readonly topicId: string;
}

/** What has been taken over of a partition, and is not written yet. */
interface Waiting {
  readonly values: Map<string, Uint8Array | null>;
  position: StatePosition;
}

export class StateStore {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #load: StatementSync;
  readonly #upsert: StatementSync;
  readonly #remove: StatementSync;
  readonly #position: StatementSync;
  readonly #setPosition: StatementSync;
  readonly #waiting = new Map<number, Waiting>();
  /** Of all values that were added since the last were written, also of those that were replaced. */
  #waitingBytes = 0;

  constructor({ directory, topic, topicId }: StateStoreOptions) {
    this.#path = directory === null ? ":memory:" : join(directory, `${topic}.sqlite`);
    this.#db = openCopy({ path: this.#path, layout: LAYOUT, pragmas: PRAGMAS, schema: SCHEMA });
    this.#load = this.#db.prepare("SELECT checksum, value FROM state WHERE slot = ? AND key = ?");
    this.#upsert = this.#db.prepare(
      `INSERT INTO state (slot, key, checksum, value) VALUES (?, ?, ?, ?)
      ON CONFLICT (slot, key) DO UPDATE SET checksum = excluded.checksum, value = excluded.value`,
    );
    this.#remove = this.#db.prepare("DELETE FROM state WHERE slot = ? AND key = ?");
    this.#position = this.#db.prepare("SELECT last_offset, last_checksum, last_timestamp_ms, writer FROM positions WHERE slot = ?");
    this.#setPosition = this.#db.prepare("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)");
    this.#guarded(() => this.#useSource(topicId));
  }

  /** @throws {LogUnavailableError} the copy was damaged, and is removed: open another */
  load(partition: number, keys: readonly string[]): (Uint8Array | undefined)[] {
    const values = this.#waiting.get(partition)?.values;
    return this.#guarded(() =>
      keys.map((key) => {
        const value = values?.get(key);
        return value === undefined ? this.#stored(partition, key) : (value ?? undefined);
      }),
    );
  }

  /** @throws {LogUnavailableError} the copy was damaged, and is removed: open another */
  position(partition: number): StatePosition {
    return this.#waiting.get(partition)?.position ?? this.#guarded(() => this.#storedPosition(partition));
  }

  /**
   * Takes records over, together with the position behind them.
   *
   * @throws {LogUnavailableError} the copy was damaged, and is removed: open another
   */
  apply(
    changes: readonly { readonly partition: number; readonly records: readonly StateRecord[]; readonly position: StatePosition }[],
  ): void {
    for (const { partition, records, position } of changes) {
      const waiting = this.#waiting.get(partition) ?? { values: new Map<string, Uint8Array | null>(), position };
      for (const { key, value } of records) {
        waiting.values.set(key, value);
        this.#waitingBytes += value?.length ?? 0;
      }
      waiting.position = position;
      this.#waiting.set(partition, waiting);
    }
    const waiting = this.#waiting.values().reduce((sum, { values }) => sum + values.size, 0);
    if (waiting >= MAX_WAITING || this.#waitingBytes >= MAX_WAITING_BYTES) this.write();
  }

  /**
   * Writes what waits: all partitions, each up to its position.
   *
   * @throws {LogUnavailableError} the copy was damaged, and is removed: open another
   */
  write(): void {
    this.#guarded(() =>
      this.#transaction(() => {
        for (const [partition, { values, position }] of this.#waiting) {
          for (const [key, value] of values) {
            if (value === null) this.#remove.run(partition, key);
            else this.#upsert.run(partition, key, checksumOf(partition, key, value), value);
          }
          const { last, writer = null } = position;
          if (last !== undefined) this.#setPosition.run(partition, last.offset, last.checksum, last.timestampMs, writer);
        }
      }),
    );
    this.#waiting.clear();
    this.#waitingBytes = 0;
  }

  /** @throws {LogUnavailableError} the copy was damaged, and is removed: open another */
  clear(partition: number): void {
    this.#waiting.delete(partition);
    this.#guarded(() =>
      this.#transaction(() => {
        this.#db.prepare("DELETE FROM state WHERE slot = ?").run(partition);
        this.#db.prepare("DELETE FROM positions WHERE slot = ?").run(partition);
      }),
    );
  }

  close(): void {
    if (!this.#db.isOpen) return;
    try {
      this.write();
    } catch (error) {
      // Who opens it next finds none.
      if (!(error instanceof LogUnavailableError)) throw error;
    } finally {
      if (this.#db.isOpen) this.#db.close();
    }
  }

  #useSource(topicId: string): void {
    const known = this.#db.prepare("SELECT topic_id FROM source").get()?.["topic_id"];
    if (known === topicId) return;
    this.#transaction(() => {
      this.#db.exec("DELETE FROM source; DELETE FROM state; DELETE FROM positions");
      this.#db.prepare("INSERT INTO source (topic_id) VALUES (?)").run(topicId);
    });
  }

  #stored(partition: number, key: string): Uint8Array | undefined {
    const row = this.#load.get(partition, key);
    if (row === undefined) return undefined;
    // The columns have these types.
    const value = row["value"] as Uint8Array;
    if (row["checksum"] !== checksumOf(partition, key, value)) throw new DamagedCopyError(`the value of ${key} is not what was written`);
    return value;
  }

  #storedPosition(partition: number): StatePosition {
    const row = this.#position.get(partition);
    if (row === undefined) return NOWHERE;
    const last = {
      offset: Number(row["last_offset"]),
      checksum: Number(row["last_checksum"]),
      timestampMs: Number(row["last_timestamp_ms"]),
    };
    // The column has this type.
    return { last, writer: (row["writer"] as string | null) ?? undefined };
  }

  #transaction(run: () => void): void {
    this.#db.exec("BEGIN");
    try {
      run();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** After damage, the owner is opened again, and reads what the copy held from the log. */
  #guarded<Result>(run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      if (!isDamage(error))
        throw new Error(`the local copy of the state, ${this.#path}, cannot be used: ${messageOf(error)}`, { cause: error });
      this.#waiting.clear();
      this.#db.close();
      removeDamaged(this.#path, error);
      throw new LogUnavailableError(`the local copy of the state was damaged, and is read again: ${this.#path}`, { cause: error });
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Of a value and of where it belongs, since a page may be damaged by being another. */
function checksumOf(partition: number, key: string, value: Uint8Array): number {
  return crc32(value, crc32(key, partition));
}
