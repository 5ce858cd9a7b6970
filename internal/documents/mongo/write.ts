/** Writes documents, each only at the revision it was loaded at, and says which were not written. */

import { type AnyBulkWriteOperation, BSON, type Collection, MongoBulkWriteError } from "mongodb";
import type { DocumentWrite, WriteConflict } from "../../cqrs/documents.ts";
import { type Stored, storedFromWrite } from "./stored.ts";

const DUPLICATE_KEY = 11_000;

/** Writes documents of one collection in one request, and returns those that conflicted. */
export async function writeDocuments(collection: Collection<Stored>, writes: readonly DocumentWrite[]): Promise<readonly WriteConflict[]> {
  const { matchedCount, duplicates } = await runBulk(collection, writes.map(operationOf));
  const replacing = writes.filter(({ expectedRevision }) => expectedRevision > 0);
  const notReplaced = matchedCount === replacing.length ? new Set<DocumentWrite>() : await findNotReplaced(collection, replacing);
  return writes
    .filter((write, index) => duplicates.has(index) || notReplaced.has(write))
    .map((write) => ({ collection: write.collection, id: write.id }));
}

function operationOf(write: DocumentWrite): AnyBulkWriteOperation<Stored> {
  const document = storedFromWrite(write);
  if (write.expectedRevision === 0) return { insertOne: { document } };
  return { replaceOne: { filter: { _id: write.id, _revision: write.expectedRevision }, replacement: document } };
}

interface BulkOutcome {
  readonly matchedCount: number;
  /** Where in the list there was an insert of a document that is there already. */
  readonly duplicates: ReadonlySet<number>;
}

async function runBulk(collection: Collection<Stored>, operations: readonly AnyBulkWriteOperation<Stored>[]): Promise<BulkOutcome> {
  try {
    const { matchedCount } = await collection.bulkWrite(operations, { ordered: false });
    return { matchedCount, duplicates: new Set() };
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError)) throw error;
    return { matchedCount: error.matchedCount, duplicates: duplicatesOf(error) };
  }
}

/** @throws the error, if it says anything else */
function duplicatesOf(error: MongoBulkWriteError): ReadonlySet<number> {
  const failures = [error.writeErrors].flat();
  const isOnlyDuplicates = failures.length > 0 && failures.every(({ code }) => code === DUPLICATE_KEY);
  if (!isOnlyDuplicates || error.result.getWriteConcernError() !== undefined) throw error;
  return new Set(failures.map(({ index }) => index));
}

/**
 * MongoDB counts the replaced documents and does not name them. What was written is there as we wrote it; had someone else written the very
 * same at the same revision, it would make no difference to anybody. A document that was replaced and changed again since counts as not
 * replaced, which costs its writer a fold and nothing else.
 */
async function findNotReplaced(collection: Collection<Stored>, replacing: readonly DocumentWrite[]): Promise<ReadonlySet<DocumentWrite>> {
  const found = await collection.find({ _id: { $in: replacing.map(({ id }) => id) } }).toArray();
  const there = new Map(found.map((stored) => [stored._id, stored]));
  return new Set(replacing.filter((write) => !isSame(there.get(write.id), storedFromWrite(write))));
}

function isSame(one: Stored | undefined, other: Stored): boolean {
  return one !== undefined && Buffer.compare(BSON.serialize(one), BSON.serialize(other)) === 0;
}
