/** What the parts of the document contract share. */

import { expect } from "vitest";
import type {
  Applied,
  CheckpointWrite,
  Collection,
  Condition,
  Documents,
  DocumentWrite,
  Fields,
  Find,
  SortKey,
  StoredDocument,
} from "../documents.ts";
import { type OrderValues, orderFields } from "./documents-model.ts";

/** A new, empty store and the connections that a test needs. Disposing of it closes and removes everything. */
export interface DocumentsUnderTest extends AsyncDisposable {
  readonly documents: Documents;
  /** Another connection to the same store, as another process would have it. */
  connect(): Promise<Documents>;
  /** Closes the store and opens it again. Absent if the documents do not outlive it. */
  reopen?(): Promise<Documents>;
}

/** The store that the suite runs on, once it is open. */
export interface Context {
  readonly documents: () => Documents;
  readonly store: () => DocumentsUnderTest;
}

/** The collection of the test that runs. */
export let orders: Collection;

let collections = 0;

/** A collection that nobody has used. */
export function newCollection(): Collection {
  return {
    name: `orders-${++collections}.v1`,
    indexes: [
      { name: "customer", fields: ["customerId", "createdAt"] },
      { name: "status", fields: ["status", "createdAt"] },
      { name: "total", fields: ["total.minorUnits"] },
      { name: "text", fields: ["words", "createdAt"], multikey: true },
    ],
  };
}

/** Begins with an empty collection: a test, or a run of a property. */
export async function startAnew(documents: Documents): Promise<void> {
  orders = newCollection();
  await documents.prepare([orders]);
}

/** Creates a document that has all that the indexes are about. */
export function order(id: string, values: OrderValues): DocumentWrite {
  return created(id, orderFields(id, values));
}

/** Creates a document. */
export function created(id: string, fields: Fields, applied: Applied = { stream: { 0: 1 } }): DocumentWrite {
  return { collection: orders.name, id, expectedRevision: 0, applied, fields };
}

/** A query of everything, but for what is said otherwise. */
export function all(query: Partial<Find>): Find {
  return { collection: orders.name, where: [], sort: [], limit: 100, ...query };
}

/** Writes without a conflict. */
export async function write(
  documents: Documents,
  writes: readonly DocumentWrite[],
  checkpoints: readonly CheckpointWrite[] = [],
): Promise<void> {
  expect(await documents.write(writes, checkpoints)).toEqual([]);
}

/** The ids that conditions find, in the order of the ids. */
export async function idsOf(documents: Documents, where: readonly Condition[]): Promise<readonly string[]> {
  const { documents: found } = await documents.find(all({ where }));
  return found.map(({ id }) => id);
}

/** The ids of all pages, with something to do between one page and the next. */
export async function readPages(
  documents: Documents,
  query: Find,
  between: () => Promise<void> = async () => {},
): Promise<readonly string[][]> {
  const pages: string[][] = [];
  let after: SortKey | undefined;
  do {
    const page: { readonly documents: readonly StoredDocument[]; readonly next?: SortKey } = await documents.find(
      after === undefined ? query : { ...query, after },
    );
    pages.push(page.documents.map(({ id }) => id));
    after = page.next;
    await between();
  } while (after !== undefined);
  return pages;
}
