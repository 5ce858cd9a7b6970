/**
 * The ceiling of the write path: SQLite alone writes the bytes that the log wrote for a run of commands, with the log's settings, as many
 * per transaction as the log had. A batch is two transactions, as in the log: the commands, then their events and states.
 */

import { join } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { orderTopics } from "../test/support/order-domain.ts";

/** Slots and offsets of the log's rowids. */
const OFFSETS_PER_SLOT = 2 ** 40;

const MAX_COMMANDS = 20_000;
const MAX_SECONDS = 3;

export interface RawWritesOptions {
  /** The data folder of a `headwater dev` that has stopped. */
  readonly directory: string;
  /** Of the orders that the run wrote. */
  readonly prefix: string;
  readonly folder: string;
}

interface Written {
  readonly commands: readonly KeyedValue[];
  readonly events: readonly KeyedValue[];
  /** By key: the latest state, which is the longest. */
  readonly states: ReadonlyMap<string, Uint8Array>;
  readonly batch: number;
}

type KeyedValue = readonly [key: string, value: Uint8Array];

export function measureRawWrites(options: RawWritesOptions): { readonly perSecond: number; readonly batch: number } {
  const written = readLog(options);
  using db = new DatabaseSync(join(options.folder, `raw-${options.prefix}.sqlite`));
  db.exec(`
    PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16384;
    CREATE TABLE records (position INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, headers TEXT, timestamp_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE latest (slot INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (slot, key)) STRICT, WITHOUT ROWID;
  `);
  const insert = db.prepare("INSERT INTO records (position, key, value, timestamp_ms) VALUES (?, ?, ?, ?)");
  const upsert = db.prepare("INSERT INTO latest VALUES (?, ?, ?) ON CONFLICT (slot, key) DO UPDATE SET value = excluded.value");
  const append = (slot: number, records: readonly KeyedValue[], from: number): void => {
    records.forEach(([key, value], index) => insert.run(slot * OFFSETS_PER_SLOT + from + index, key, value, 0));
  };
  const transaction = (write: () => void): void => {
    db.exec("BEGIN IMMEDIATE");
    write();
    db.exec("COMMIT");
  };

  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  let done = 0;
  while (done < written.commands.length && seconds() < MAX_SECONDS) {
    const from = done;
    done = Math.min(from + written.batch, written.commands.length);
    transaction(() => append(0, written.commands.slice(from, done), from));
    transaction(() => {
      const events = written.events.slice(from, done);
      append(1, events, from);
      for (const key of new Set(events.map(([name]) => name))) upsert.run(2, key, written.states.get(key) ?? new Uint8Array());
    });
  }
  return { perSecond: done / seconds(), batch: written.batch };
}

function readLog({ directory, prefix }: RawWritesOptions): Written {
  using db = new DatabaseSync(join(directory, "log.sqlite"), { readOnly: true });
  const partitions = Number(db.prepare("SELECT value FROM meta WHERE key = 'partitions'").get()?.["value"]);
  const slot = db.prepare("SELECT first_slot FROM topics WHERE name = ?");
  const slots = (topic: string): [number, number, string] => {
    const first = Number(slot.get(topic)?.["first_slot"]);
    return [first, first + partitions, `${prefix}*`];
  };
  const positions = (topic: string): [number, number, string] => {
    const [first, last, pattern] = slots(topic);
    return [first * OFFSETS_PER_SLOT, last * OFFSETS_PER_SLOT, pattern];
  };
  const inTopic = "FROM records WHERE position >= ? AND position < ? AND key GLOB ?";
  const records = db.prepare(`SELECT key, value ${inTopic} ORDER BY timestamp_ms, position LIMIT ${MAX_COMMANDS}`);
  const states = db.prepare("SELECT key, value FROM latest WHERE slot >= ? AND slot < ? AND key GLOB ?");
  // The events of one transaction have one time.
  const transactions = db.prepare(`SELECT count(*) / cast(count(DISTINCT timestamp_ms) AS REAL) AS batch ${inTopic}`);
  const { commands, events, state } = orderTopics;
  return {
    commands: records.all(...positions(commands.name)).map(keyedValue),
    events: records.all(...positions(events.name)).map(keyedValue),
    states: new Map(states.all(...slots(state.name)).map(keyedValue)),
    batch: Math.max(1, Math.round(Number(transactions.get(...positions(events.name))?.["batch"]))),
  };
}

function keyedValue(row: Record<string, SQLOutputValue>): KeyedValue {
  return [String(row["key"]), row["value"] as Uint8Array];
}
