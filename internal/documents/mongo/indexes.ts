/** Brings the indexes of a collection in line with those that are declared; what others added is left alone. */

import { type Collection as DriverCollection, type IndexDescriptionInfo, MongoServerError } from "mongodb";
import type { Index } from "../../cqrs/documents.ts";
import { checkedPath, type Stored } from "./stored.ts";

/** An index that a query counts on and that is not there. */
export interface MissingIndex {
  readonly collection: string;
  readonly index: string;
}

const NAMESPACE_NOT_FOUND = 26;
const INDEX_NOT_FOUND = 27;

/** Creates the indexes that are missing, in place of others of their names. A collection is created with its first index or document. */
export async function prepareIndexes(collection: DriverCollection<Stored>, declared: readonly Index[]): Promise<void> {
  const present = await presentIndexes(collection);
  const missing = declared.filter((index) => !isPresent(index, present));
  for (const { name } of missing) {
    if (present.some((other) => other.name === name)) await dropIndex(collection, name);
  }
  if (missing.length > 0) await collection.createIndexes(missing.map((index) => ({ name: index.name, key: keyOf(index) })));
}

export async function findMissing(collection: DriverCollection<Stored>, declared: readonly Index[]): Promise<readonly MissingIndex[]> {
  const present = await presentIndexes(collection);
  return declared
    .filter((index) => !isPresent(index, present))
    .map((index) => ({ collection: collection.collectionName, index: index.name }));
}

/** Under whatever name. */
function isPresent(index: Index, present: readonly IndexDescriptionInfo[]): boolean {
  const key = JSON.stringify(keyOf(index));
  return present.some((other) => JSON.stringify(other.key) === key);
}

/** MongoDB finds out by itself which fields hold arrays, and reads an index in both directions. */
function keyOf({ fields }: Index): Record<string, 1> {
  return Object.fromEntries([...fields.map(checkedPath), "_id"].map((field) => [field, 1]));
}

async function presentIndexes(collection: DriverCollection<Stored>): Promise<readonly IndexDescriptionInfo[]> {
  return (await unless(NAMESPACE_NOT_FOUND, collection.listIndexes().toArray())) ?? [];
}

/** Another process that prepares the same may have been faster. */
async function dropIndex(collection: DriverCollection<Stored>, name: string): Promise<void> {
  await unless(INDEX_NOT_FOUND, collection.dropIndex(name));
}

async function unless<Result>(code: number, answer: Promise<Result>): Promise<Result | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === code) return undefined;
    throw error;
  }
}
