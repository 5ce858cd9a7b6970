/** How fast the projector builds all views of a log, beside SQLite that only writes the documents it made. */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { builtDocuments } from "./log.ts";
import { LARGE_LOG_EVENTS, type Measurement, QUICK_LOG_EVENTS } from "./measurement.ts";

/** As many as the projector takes at once. */
const BATCH_DOCUMENTS = 1_000;

export const projection: Measurement = {
  name: "projection",
  summary: "events/s from an existing log into all views, beside raw SQLite upserts of the same documents",
  async run(bench) {
    const { log, seconds } = await builtDocuments(bench, bench.quick ? QUICK_LOG_EVENTS : LARGE_LOG_EVENTS);
    bench.progress("raw SQLite upserts");
    const rawSeconds = writeDocuments(log.directory, join(bench.folder, "raw-documents.sqlite"));
    const beside = [{ name: "SQLite, each document once", value: log.events / rawSeconds }];
    return [{ name: `projection of ${log.events.toLocaleString("en")} events`, value: log.events / seconds, unit: "/s", beside }];
  },
};

/**
 * Writes all documents of all views, or of one collection, into a fresh database, with the store's settings but without its indexes. Returns
 * the time of the writes.
 */
export function writeDocuments(directory: string, path: string, collection = "*"): number {
  using source = new DatabaseSync(join(directory, "documents.sqlite"), { readOnly: true });
  using target = new DatabaseSync(path);
  target.exec(`
    PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768;
    CREATE TABLE documents (collection TEXT, id TEXT, revision INTEGER, applied TEXT, fields TEXT, PRIMARY KEY (collection, id));
  `);
  const upsert = target.prepare("INSERT INTO documents VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET fields = excluded.fields");
  const tables = source.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB ?").all(`documents:${collection}`);
  const write = (table: string, rows: readonly Row[]): void => {
    target.exec("BEGIN IMMEDIATE");
    for (const { id, revision, applied, fields } of rows) upsert.run(table, id, revision, applied, fields);
    target.exec("COMMIT");
  };
  let seconds = 0;
  for (const { name } of tables) {
    for (const rows of batchesOf(source, String(name))) {
      const startedMs = performance.now();
      write(String(name), rows);
      seconds += (performance.now() - startedMs) / 1000;
    }
  }
  return seconds;
}

function* batchesOf(source: DatabaseSync, table: string): Generator<readonly Row[]> {
  const page = source.prepare(`SELECT rowid, id, revision, applied, fields FROM "${table}" WHERE rowid > ? ORDER BY rowid LIMIT ?`);
  let last = 0;
  while (true) {
    const rows = page.all(last, BATCH_DOCUMENTS) as unknown as readonly Row[];
    if (rows.length === 0) return;
    yield rows;
    last = rows.at(-1)?.rowid ?? last;
  }
}

interface Row {
  readonly rowid: number;
  readonly id: string;
  readonly revision: number;
  readonly applied: string;
  readonly fields: string;
}
