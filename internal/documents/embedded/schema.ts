/**
 * Names and definitions of the tables. A collection is a table of JSON texts with an index per declared index, on expressions over the text.
 * A multikey index is a table of its entries, which triggers keep, so that no write can forget it.
 */

import { type Index, NEWS } from "../../cqrs/documents.ts";

/** The tables that are there before any collection. */
export const baseSchema = `
  CREATE TABLE IF NOT EXISTS indexes (collection TEXT, name TEXT, definition TEXT NOT NULL, PRIMARY KEY (collection, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS checkpoints (
    collection TEXT, stream TEXT, partition INTEGER, next_offset INTEGER NOT NULL, sequence INTEGER NOT NULL, event_time_ms INTEGER NOT NULL,
    proof TEXT NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (collection, stream, partition)
  ) WITHOUT ROWID;
`;

/** A checkpoint only ever advances, unless it is news. */
export const advanceCheckpointSql = `
  INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET
    next_offset = excluded.next_offset, sequence = excluded.sequence, event_time_ms = excluded.event_time_ms,
    proof = excluded.proof, checksum = excluded.checksum
  WHERE next_offset < excluded.next_offset OR collection GLOB '${NEWS}*'
`;

/** Finds the checkpoint at a place, if it has come as far as an offset. */
export const findCheckpointSql = "SELECT 1 FROM checkpoints WHERE collection = ? AND stream = ? AND partition = ? AND next_offset >= ?";

/** The table of a collection, quoted. */
export function documentsTable(collection: string): string {
  return quoted(`documents:${collection}`);
}

/** The table of a multikey index, quoted: per entry the element as f0, the further fields as f1, f2, …, and the document's id. */
export function entriesTable(collection: string, index: string): string {
  return quoted(`entries:${collection}:${index}`);
}

/** With rowids: documents are too large for the inner pages of a table that is its own index. */
export function createDocumentsSql(collection: string): string {
  return `
    CREATE TABLE IF NOT EXISTS ${documentsTable(collection)}
    (id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, applied TEXT NOT NULL, fields TEXT NOT NULL, checksum INTEGER NOT NULL)`;
}

export function createIndexSql(collection: string, index: Index): string {
  if (index.fields.length === 0) throw new TypeError(`the index ${index.name} of ${collection} has no fields`);
  return index.multikey === true ? createEntriesSql(collection, index) : createPlainIndexSql(collection, index);
}

export function dropIndexSql(collection: string, index: Index): string {
  if (index.multikey !== true) return `DROP INDEX ${indexName(collection, index.name)}`;
  return (
    triggers.map((trigger) => `DROP TRIGGER ${triggerName(collection, index.name, trigger)};`).join("") +
    `DROP TABLE ${entriesTable(collection, index.name)}`
  );
}

/** The value of a document's field as SQL. Indexes and queries must say it in the same words, or the index is not used. */
export function extract(json: string, field: string): string {
  return `json_extract(${json}, ${path(field)})`;
}

/** A field's path as an SQL literal. */
export function path(field: string): string {
  if (!fieldPattern.test(field)) throw new TypeError(`"${field}" is no name of a field`);
  return `'$.${field}'`;
}

/** A name, or names that lead into documents. Nothing in it can end the literal that it is put into. */
const fieldPattern = /^[A-Za-z][\w-]*(\.[A-Za-z0-9][\w-]*)*$/;

const triggers = ["insert", "update", "move"] as const;

function createPlainIndexSql(collection: string, { name, fields }: Index): string {
  const columns = fields.map((field) => extract("fields", field));
  return `CREATE INDEX ${indexName(collection, name)} ON ${documentsTable(collection)} (${columns.join(", ")}, id)`;
}

function createEntriesSql(collection: string, index: Index): string {
  const documents = documentsTable(collection);
  const entries = entriesTable(collection, index.name);
  const columns = index.fields.map((_, position) => `f${position}`);
  const changed = index.fields.map((field) => `${extract("old.fields", field)} IS NOT ${extract("new.fields", field)}`);
  const [elementsChanged, ...furtherChanged] = changed;
  const moved = furtherChanged.length === 0 ? "FALSE" : `(${furtherChanged.join(" OR ")})`;
  // Built from entries that are there, the index is sorted once. An array grows by an element or two at a time: only what is new or gone is written, unless the further fields changed with it.
  return `
    CREATE TABLE ${entries} (${columns.join(", ")}, id TEXT NOT NULL);
    INSERT INTO ${entries} ${entriesOf(index, "doc")} FROM ${documents} AS doc, ${elementsOf(index, "doc")};
    CREATE INDEX ${indexName(collection, index.name)} ON ${entries} (${columns.join(", ")}, id);
    CREATE TRIGGER ${triggerName(collection, index.name, "insert")} AFTER INSERT ON ${documents} BEGIN
      INSERT INTO ${entries} ${entriesOf(index, "new")} FROM ${elementsOf(index, "new")};
    END;
    CREATE TRIGGER ${triggerName(collection, index.name, "update")} AFTER UPDATE ON ${documents} WHEN ${elementsChanged} AND NOT ${moved} BEGIN
      DELETE FROM ${entries} WHERE f0 IN (${onlyIn(index, "old", "new")}) AND ${furtherOf(index)}id = old.id;
      INSERT INTO ${entries} ${entriesOf(index, "new")} FROM (${onlyIn(index, "new", "old")}) AS element;
    END;
    CREATE TRIGGER ${triggerName(collection, index.name, "move")} AFTER UPDATE ON ${documents} WHEN ${moved} BEGIN
      DELETE FROM ${entries} WHERE f0 IN (SELECT element.value FROM ${elementsOf(index, "old")}) AND ${furtherOf(index)}id = old.id;
      INSERT INTO ${entries} ${entriesOf(index, "new")} FROM ${elementsOf(index, "new")};
    END`;
}

/** The elements that one row has and the other has not. */
function onlyIn(index: Index, row: string, other: string): string {
  return `SELECT element.value FROM ${elementsOf(index, row)} EXCEPT SELECT element.value FROM ${elementsOf(index, other)}`;
}

function entriesOf({ fields }: Index, row: string): string {
  const further = fields.slice(1).map((field) => `${extract(`${row}.fields`, field)}, `);
  return `SELECT DISTINCT element.value, ${further.join("")}${row}.id`;
}

function elementsOf({ fields }: Index, row: string): string {
  return `json_each(${row}.fields, ${path(fields[0] ?? "")}) AS element`;
}

function furtherOf({ fields }: Index): string {
  return fields
    .slice(1)
    .map((field, position) => `f${position + 1} IS ${extract("old.fields", field)} AND `)
    .join("");
}

export function indexName(collection: string, index: string): string {
  return quoted(`index:${collection}:${index}`);
}

function triggerName(collection: string, index: string, trigger: (typeof triggers)[number]): string {
  return quoted(`${trigger}:${collection}:${index}`);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
