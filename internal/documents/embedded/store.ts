/** The documents in SQLite: synchronous, for a thread of its own. What belongs together happens in one transaction. */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  type Checkpoint,
  type CheckpointWrite,
  type Collection,
  FIND_BYTES,
  type Find,
  type Index,
  LOAD_BYTES,
  setBackError,
  type WriteConflict,
} from "../../cqrs/documents.ts";
import { openCopy, removeDamaged } from "../../platform/sqlite-copy.ts";
import { checkedCheckpoint, checkedRow, checksumOfCheckpoint, checksumOfRow, type SummedCheckpoint, type SummedRow } from "./checksum.ts";
import { findRows, type Run, type Values } from "./find-plan.ts";
import { FIELDS, type Row, type RowPage, type RowWrite } from "./protocol.ts";
import {
  advanceCheckpointSql,
  baseSchema,
  createDocumentsSql,
  createIndexSql,
  documentsTable,
  dropIndexSql,
  entriesTable,
  findCheckpointSql,
} from "./schema.ts";

export interface Store {
  /** Runs it in one transaction: if it throws, nothing has happened. */
  transaction<Result>(run: () => Result): Result;
  prepare(collections: readonly Collection[]): void;
  drop(collections: readonly string[]): void;
  load(collection: string, ids: readonly string[], maxBytes?: number): readonly (Row | undefined)[];
  /** @throws {DocumentsSetBackError} */
  write(writes: readonly RowWrite[], checkpoints: readonly CheckpointWrite[]): readonly WriteConflict[];
  find(query: Find): RowPage;
  checkpoints(collection: string): readonly Checkpoint[];
  /** How SQLite would run a query, for tests. */
  explain(query: Find): readonly string[];
  close(): void;
}

/**
 * Opens the database, and for a writer creates it where it is missing, damaged, or laid out otherwise: the documents are derived from the log,
 * and their checkpoints stand in the same file, so the projector goes on from whatever is there.
 */
export function openStore({ path, readOnly }: { readonly path: string; readonly readOnly: boolean }): Store {
  const db = readOnly ? new DatabaseSync(path, { readOnly, timeout: busyTimeoutMs }) : openWritable(path);
  try {
    db.exec(
      `PRAGMA cache_size = -${readOnly ? readerCacheKib : writerCacheKib}; PRAGMA mmap_size = ${mmapBytes}; PRAGMA temp_store = MEMORY;`,
    );
    return new SqliteStore(db, readOnly ? "BEGIN" : "BEGIN IMMEDIATE");
  } catch (error) {
    db.close();
    throw error;
  }
}

function openWritable(path: string): DatabaseSync {
  if (existsSync(damageMark(path))) {
    removeDamaged(path, "as was found when it was last read");
    rmSync(damageMark(path));
  }
  return openCopy({ path, layout: LAYOUT, pragmas: `PRAGMA busy_timeout = ${busyTimeoutMs};`, schema: baseSchema });
}

/** Notes that the file has been found damaged: it cannot be removed while it is open, so who opens it next makes it again. */
export function markDamaged(path: string): void {
  writeFileSync(damageMark(path), "");
}

function damageMark(path: string): string {
  return `${path}.damaged`;
}

/** Raise it with every change of the tables: a file with others is made again. */
const LAYOUT = 2;

/** Another process that opens the same file makes us wait for its transactions, which are short. */
const busyTimeoutMs = 5_000;

/** What the connection that writes may keep of the file in its own memory, and each of the two that read. */
const writerCacheKib = 32 * 1024;
const readerCacheKib = 16 * 1024;

/** What of the file is read through the operating system's cache without copying it: address space, not memory. */
const mmapBytes = 512 * 1024 * 1024;

/** Statements differ in the conditions and sorts that queries combine, and these are few. Beyond this, all are prepared again. */
const maxFindStatements = 512;

interface CollectionStatements {
  readonly indexes: readonly Index[];
  readonly load: StatementSync;
  readonly insert: StatementSync;
  readonly update: StatementSync;
}

class SqliteStore implements Store {
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #schemaVersion: StatementSync;
  readonly #loadCheckpoints: StatementSync;
  readonly #findCheckpoint: StatementSync;
  readonly #writeCheckpoint: StatementSync;
  readonly #collections = new Map<string, CollectionStatements>();
  readonly #finds = new Map<string, StatementSync>();
  #knownSchemaVersion: unknown;

  constructor(db: DatabaseSync, begin: string) {
    this.#db = db;
    this.#begin = db.prepare(begin);
    this.#commit = db.prepare("COMMIT");
    this.#schemaVersion = db.prepare("PRAGMA schema_version");
    this.#loadCheckpoints = db.prepare(
      `SELECT collection, stream, partition, next_offset AS nextOffset, sequence, event_time_ms AS eventTimeMs, proof, checksum
       FROM checkpoints WHERE collection = ? ORDER BY stream, partition`,
    );
    this.#findCheckpoint = db.prepare(findCheckpointSql);
    this.#writeCheckpoint = db.prepare(advanceCheckpointSql);
  }

  transaction<Result>(run: () => Result): Result {
    this.#begin.run();
    try {
      this.#forgetOldSchema();
      const result = run();
      this.#commit.run();
      return result;
    } catch (error) {
      this.#forgetSchema();
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  prepare(collections: readonly Collection[]) {
    for (const { name, indexes } of collections) {
      this.#db.exec(createDocumentsSql(name));
      const present = new Map(this.#indexes(name).map((index) => [index.name, index]));
      for (const index of indexes) this.#prepareIndex(name, index, present.get(index.name));
    }
    this.#forgetSchema();
  }

  drop(collections: readonly string[]) {
    for (const name of collections) {
      for (const { multikey = false, name: index } of this.#indexes(name)) {
        if (multikey) this.#db.exec(`DROP TABLE ${entriesTable(name, index)}`);
      }
      // The other indexes and the triggers go with their table.
      this.#db.exec(`DROP TABLE IF EXISTS ${documentsTable(name)}`);
      this.#db.prepare("DELETE FROM indexes WHERE collection = ?").run(name);
      this.#db.prepare("DELETE FROM checkpoints WHERE collection = ?").run(name);
    }
    this.#forgetSchema();
  }

  #prepareIndex(collection: string, { name, fields, multikey = false }: Index, present: Index | undefined) {
    const index = { name, fields, multikey };
    const definition = JSON.stringify(index);
    if (present !== undefined) {
      if (JSON.stringify(present) === definition) return;
      this.#db.exec(dropIndexSql(collection, present));
    }
    this.#db.exec(createIndexSql(collection, index));
    this.#db.prepare("INSERT OR REPLACE INTO indexes VALUES (?, ?, ?)").run(collection, name, definition);
  }

  load(collection: string, ids: readonly string[], maxBytes = LOAD_BYTES): readonly (Row | undefined)[] {
    const statements = this.#statements(collection);
    const rows: (Row | undefined)[] = [];
    let bytes = 0;
    for (const id of ids) {
      const stored = statements?.load.get(id) as SummedRow | undefined;
      const row = stored && checkedRow(stored);
      if (row !== undefined) {
        const isFirst = bytes === 0;
        bytes += Buffer.byteLength(row[FIELDS]);
        if (!isFirst && bytes > maxBytes) break;
      }
      rows.push(row);
    }
    return rows;
  }

  write(writes: readonly RowWrite[], checkpoints: readonly CheckpointWrite[]): readonly WriteConflict[] {
    for (const checkpoint of checkpoints) {
      const { collection, stream, partition, expectedOffset } = checkpoint;
      if (expectedOffset === undefined) continue;
      if (this.#findCheckpoint.get(collection, stream, partition, expectedOffset) === undefined) throw setBackError(checkpoint);
    }
    const conflicts: WriteConflict[] = [];
    for (const { collection, row } of writes) {
      const statements = this.#statements(collection);
      if (statements === undefined) throw new Error(`the collection ${collection} has not been prepared`);
      const [id, revision, applied, fields] = row;
      const checksum = checksumOfRow(row);
      const { changes } =
        revision === 1
          ? statements.insert.run(id, revision, applied, fields, checksum)
          : statements.update.run(revision, applied, fields, checksum, id, revision - 1);
      if (changes === 0) conflicts.push({ collection, id });
    }
    if (conflicts.length > 0) return conflicts;
    for (const checkpoint of checkpoints) {
      const { collection, stream, partition, nextOffset, sequence, eventTimeMs, proof } = checkpoint;
      const checksum = checksumOfCheckpoint(checkpoint);
      this.#writeCheckpoint.run(collection, stream, partition, nextOffset, sequence, eventTimeMs, proof, checksum);
    }
    return conflicts;
  }

  find(query: Find): RowPage {
    const statements = this.#statements(query.collection);
    if (statements === undefined) return { rows: [], hasMore: false };
    const run: Run = ({ sql, values }) => this.#findStatement(sql).all(...values) as unknown as Values[];
    const ids = findRows(query, statements.indexes, run).map((key) => key.at(-1) as string);
    const rows: Row[] = [];
    let bytes = 0;
    for (const id of ids.slice(0, query.limit)) {
      const row = checkedRow(statements.load.get(id) as SummedRow | undefined);
      bytes += Buffer.byteLength(row[FIELDS]);
      if (rows.length > 0 && bytes > (query.maxBytes ?? FIND_BYTES)) break;
      rows.push(row);
    }
    return { rows, hasMore: ids.length > rows.length };
  }

  checkpoints(collection: string): readonly Checkpoint[] {
    const stored = this.#loadCheckpoints.all(collection) as unknown as SummedCheckpoint[];
    return stored.map(checkedCheckpoint);
  }

  explain(query: Find): readonly string[] {
    const steps: string[] = [];
    findRows(query, this.#indexes(query.collection), ({ sql, values }) => {
      const plan = this.#db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
      steps.push(...plan.map(({ detail }) => String(detail)));
      return this.#findStatement(sql).all(...values) as unknown as Values[];
    });
    return steps;
  }

  close() {
    this.#db.close();
  }

  /** Undefined if the collection has not been prepared yet: then it has no documents. */
  #statements(collection: string): CollectionStatements | undefined {
    const known = this.#collections.get(collection);
    if (known !== undefined) return known;
    const table = documentsTable(collection);
    const exists = this.#db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(`documents:${collection}`);
    if (exists === undefined) return undefined;
    const statements = {
      indexes: this.#indexes(collection),
      load: this.#db.prepare(`SELECT id, revision, applied, fields, checksum FROM ${table} WHERE id = ?`),
      insert: this.#db.prepare(
        `INSERT INTO ${table} (id, revision, applied, fields, checksum) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      ),
      update: this.#db.prepare(`UPDATE ${table} SET revision = ?, applied = ?, fields = ?, checksum = ? WHERE id = ? AND revision = ?`),
    };
    statements.load.setReturnArrays(true);
    this.#collections.set(collection, statements);
    return statements;
  }

  #findStatement(sql: string): StatementSync {
    const known = this.#finds.get(sql);
    if (known !== undefined) return known;
    if (this.#finds.size >= maxFindStatements) this.#finds.clear();
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    this.#finds.set(sql, statement);
    return statement;
  }

  #indexes(collection: string): readonly Index[] {
    const rows = this.#db.prepare("SELECT definition FROM indexes WHERE collection = ?").all(collection);
    return rows.map(({ definition }) => JSON.parse(String(definition)) as Index);
  }

  /** Another connection may have prepared collections or indexes. */
  #forgetOldSchema() {
    const version = this.#schemaVersion.get()?.["schema_version"];
    if (version !== this.#knownSchemaVersion) this.#forgetSchema();
    this.#knownSchemaVersion = version;
  }

  #forgetSchema() {
    this.#collections.clear();
    this.#finds.clear();
    this.#knownSchemaVersion = undefined;
  }
}
