/** Queries of the port in MongoDB's terms, such that the indexes of the collection serve them. */

import { BSON, type Collection, type Filter, type SortDirection } from "mongodb";
import {
  type Condition,
  FIND_BYTES,
  type Find,
  LOAD_BYTES,
  type Page,
  type SortKey,
  SortKeyError,
  type StoredDocument,
} from "../../cqrs/documents.ts";
import { checkedPath, documentFromStored, type Stored, valueAt } from "./stored.ts";

/** After this the server ends a query itself, so that no one waits for an answer that it works on in vain. */
const MAX_QUERY_MS = 10_000;

/** The server sends so many documents at once, and no more than 16 MiB: the default page is one answer, and large documents are few of one. */
const BATCH_DOCUMENTS = 64;

/** The documents of the first ids, one at least, that hold no more than so many bytes. */
export async function loadDocuments(
  collection: Collection<Stored>,
  ids: readonly string[],
  maxBytes = LOAD_BYTES,
): Promise<readonly (StoredDocument | undefined)[]> {
  if (ids.length === 0) return [];
  const cursor = collection
    .find({ _id: { $in: [...new Set(ids)] } }, { batchSize: ids.length + 1, maxTimeMS: MAX_QUERY_MS, raw: true })
    .sort({ _id: 1 });
  const documents = new Map<string, StoredDocument>();
  let bytes = 0;
  for await (const stored of cursor) {
    const raw = rawOf(stored);
    bytes += raw.length;
    const document = documentFromStored(BSON.deserialize(raw) as Stored);
    if (documents.size > 0 && bytes > maxBytes) return beforeCut(document.id);
    documents.set(document.id, document);
  }
  return ids.map((id) => documents.get(id));

  /** Those of the first ids that come before the first document that was not taken. */
  function beforeCut(cut: string): Promise<readonly (StoredDocument | undefined)[]> | readonly (StoredDocument | undefined)[] {
    const end = ids.findIndex((id) => compareIds(id, cut) >= 0);
    if (end === 0) return loadDocuments(collection, ids.slice(0, 1), maxBytes);
    return ids.slice(0, end).map((id) => documents.get(id));
  }
}

/** In the order of the server, which compares bytes of UTF-8. */
function compareIds(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** With `raw`, the driver hands out the bytes, whatever the type says. */
function rawOf(stored: Stored): Uint8Array {
  return stored as unknown as Uint8Array;
}

/** One page, and one document more that tells whether there is another. @throws {SortKeyError} `after` does not fit `sort` */
export async function findDocuments(collection: Collection<Stored>, query: Find): Promise<Page> {
  const { where, sort, after, limit, maxBytes = FIND_BYTES } = query;
  const columns = columnsOf(sort);
  const filters = where.map(filterOf);
  if (after !== undefined) filters.push(behind(columns, checkedKey(columns, after)));
  const batchSize = Math.min(limit + 2, BATCH_DOCUMENTS);
  const cursor = collection
    .find(filters.length === 0 ? {} : { $and: filters }, { limit: limit + 1, batchSize, maxTimeMS: MAX_QUERY_MS, raw: true })
    .sort(columns.map(({ field, descending }): [string, SortDirection] => [field, descending ? -1 : 1]));
  const documents: StoredDocument[] = [];
  let bytes = 0;
  // Leaving the loop closes the cursor.
  for await (const stored of cursor) {
    const raw = rawOf(stored);
    bytes += raw.length;
    const last = documents.at(-1);
    if (last !== undefined && (documents.length === limit || bytes > maxBytes)) return { documents, next: sortKeyOf(query, last) };
    documents.push(documentFromStored(BSON.deserialize(raw) as Stored));
  }
  return { documents };
}

type Column = Find["sort"][number];

/** What a query sorts by, to the last tie: its fields, then the id, in which every index ends. */
function columnsOf(sort: Find["sort"]): readonly Column[] {
  const fields = sort.map(({ field, descending }) => ({ field: checkedPath(field), descending }));
  return [...fields, { field: "_id", descending: sort.at(-1)?.descending ?? false }];
}

/** Every value stands behind an operator, and so is data, whatever it is. */
function filterOf({ field, op, value }: Condition): Filter<Stored> {
  return { [checkedPath(field)]: { [`$${op}`]: value } };
}

/** Everything behind a key: behind its first value, or equal in that and behind the others. The bound on the first serves the index. */
function behind([first, ...rest]: readonly Column[], [value, ...values]: SortKey): Filter<Stored> {
  if (first === undefined) return {};
  const { field, descending } = first;
  const beyond = { [field]: { [descending ? "$lt" : "$gt"]: value } };
  if (rest.length === 0) return beyond;
  return { [field]: { [descending ? "$lte" : "$gte"]: value }, $or: [beyond, behind(rest, values)] };
}

function checkedKey(columns: readonly Column[], key: SortKey): SortKey {
  if (key.length !== columns.length) {
    throw new SortKeyError(`a sort key of ${key.length} values does not fit a sort by ${columns.length - 1} fields`);
  }
  if (typeof key.at(-1) !== "string") throw new SortKeyError("a sort key must end in an id");
  if (!key.every(isSortValue)) throw new SortKeyError("a sort key must consist of strings, numbers, booleans and dates");
  return key;
}

function isSortValue(value: unknown): boolean {
  return ["string", "number", "boolean"].includes(typeof value) || (value instanceof Date && !Number.isNaN(value.getTime()));
}

function sortKeyOf({ sort }: Find, { id, fields }: StoredDocument): SortKey {
  return [...sort.map(({ field }) => valueAt(fields, field) as SortKey[number]), id];
}
