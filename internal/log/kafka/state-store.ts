/**
 * A local copy of the state topic's partitions, so that a decision does not wait for the network and a takeover reads only what is new. It can
 * be thrown away at any time: the topic is the truth.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** What SQLite may keep in memory; the rest is read from the file. */
const CACHE_KIB = 65_536;

/**
 * How many values wait until they are written. A key that changes again meanwhile is written once, and so is a page of the file with many keys;
 * it takes a few milliseconds, for which every decision waits.
 */
const MAX_WAITING = 1_000;

/** A record of the state topic: without a value it deletes its key. */
export interface StateRecord {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** Where the copy of a partition stands. */
export interface StatePosition {
  /** The offset of the next record to copy. */
  readonly nextOffset: number;
  /** Who wrote the last record that was copied; undefined if nobody is known. */
  readonly writer: string | undefined;
}

/** What has been taken over of a partition, and is not written yet. */
interface Waiting {
  readonly values: Map<string, Uint8Array | null>;
  position: StatePosition;
}

export class StateStore {
  readonly #db: DatabaseSync;
  readonly #load: StatementSync;
  readonly #upsert: StatementSync;
  readonly #remove: StatementSync;
  readonly #position: StatementSync;
  readonly #setPosition: StatementSync;
  readonly #waiting = new Map<number, Waiting>();

  /** A copy of another log, or of another topic, that lies in the folder is thrown away. Null keeps it in memory. */
  constructor(directory: string | null, source: { readonly logId: string; readonly topic: string }) {
    if (directory !== null) mkdirSync(directory, { recursive: true });
    this.#db = new DatabaseSync(directory === null ? ":memory:" : join(directory, `${source.topic}.sqlite`));
    // Without an fsync: after a power loss the copy is older, or broken and made anew; after a kill it lacks what had not been written yet.
    this.#db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = OFF;
      PRAGMA cache_size = -${CACHE_KIB};
      CREATE TABLE IF NOT EXISTS source (log_id TEXT NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS state (slot INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (slot, key)) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS positions (slot INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, writer TEXT) STRICT;
    `);
    const known = this.#db.prepare("SELECT log_id FROM source").get()?.["log_id"];
    if (known !== source.logId) {
      this.#db.exec("DELETE FROM source; DELETE FROM state; DELETE FROM positions");
      this.#db.prepare("INSERT INTO source (log_id) VALUES (?)").run(source.logId);
    }
    this.#load = this.#db.prepare("SELECT value FROM state WHERE slot = ? AND key = ?");
    this.#upsert = this.#db.prepare(
      "INSERT INTO state (slot, key, value) VALUES (?, ?, ?) ON CONFLICT (slot, key) DO UPDATE SET value = excluded.value",
    );
    this.#remove = this.#db.prepare("DELETE FROM state WHERE slot = ? AND key = ?");
    this.#position = this.#db.prepare("SELECT next_offset, writer FROM positions WHERE slot = ?");
    this.#setPosition = this.#db.prepare("INSERT OR REPLACE INTO positions (slot, next_offset, writer) VALUES (?, ?, ?)");
  }

  load(partition: number, keys: readonly string[]): (Uint8Array | undefined)[] {
    const values = this.#waiting.get(partition)?.values;
    return keys.map((key) => {
      const value = values?.get(key);
      return value === undefined ? (this.#load.get(partition, key)?.["value"] as Uint8Array | undefined) : (value ?? undefined);
    });
  }

  position(partition: number): StatePosition {
    const waiting = this.#waiting.get(partition);
    if (waiting !== undefined) return waiting.position;
    const row = this.#position.get(partition);
    return { nextOffset: Number(row?.["next_offset"] ?? 0), writer: (row?.["writer"] as string | null | undefined) ?? undefined };
  }

  /** Takes records over, together with the position behind them. */
  apply(
    changes: readonly { readonly partition: number; readonly records: readonly StateRecord[]; readonly position: StatePosition }[],
  ): void {
    for (const { partition, records, position } of changes) {
      const waiting = this.#waiting.get(partition) ?? { values: new Map<string, Uint8Array | null>(), position };
      for (const { key, value } of records) waiting.values.set(key, value);
      waiting.position = position;
      this.#waiting.set(partition, waiting);
    }
    if (this.#waiting.values().reduce((sum, { values }) => sum + values.size, 0) >= MAX_WAITING) this.write();
  }

  /** Writes what waits: all partitions, each up to its position. */
  write(): void {
    this.#db.exec("BEGIN");
    for (const [partition, { values, position }] of this.#waiting) {
      for (const [key, value] of values) {
        if (value === null) this.#remove.run(partition, key);
        else this.#upsert.run(partition, key, value);
      }
      this.#setPosition.run(partition, position.nextOffset, position.writer ?? null);
    }
    this.#db.exec("COMMIT");
    this.#waiting.clear();
  }

  clear(partition: number): void {
    this.#waiting.delete(partition);
    this.#db.prepare("DELETE FROM state WHERE slot = ?").run(partition);
    this.#db.prepare("DELETE FROM positions WHERE slot = ?").run(partition);
  }

  close(): void {
    try {
      this.write();
    } finally {
      this.#db.close();
    }
  }
}
