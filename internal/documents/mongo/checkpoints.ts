/** The checkpoints of all views in one collection, one document for each view, stream and partition. */

import type { AnyBulkWriteOperation, Collection, Filter } from "mongodb";
import { type Checkpoint, type CheckpointWrite, NEWS, setBackError } from "../../cqrs/documents.ts";

/** State, like the names of the fields: renaming it abandons what is there. Collections of views begin with a letter. */
export const CHECKPOINTS = "_checkpoints";

export interface StoredCheckpoint extends Checkpoint {
  /** Begins with the collection's name, so that those of a collection lie together. */
  readonly _id: string;
}

/** Those of one view, or all: some dozens. */
export async function loadCheckpoints(checkpoints: Collection<StoredCheckpoint>, collection?: string): Promise<readonly Checkpoint[]> {
  const found = await checkpoints.find(collection === undefined ? {} : ofCollection(collection)).toArray();
  return found.map(checkpointFromStored);
}

export async function dropCheckpoints(checkpoints: Collection<StoredCheckpoint>, collection: string): Promise<void> {
  await checkpoints.deleteMany(ofCollection(collection));
}

/** @throws {DocumentsSetBackError} what one of them comes after is gone or lower */
export async function checkExpected(checkpoints: Collection<StoredCheckpoint>, advanced: readonly CheckpointWrite[]): Promise<void> {
  const following = advanced.filter(follows);
  if (following.length === 0) return;
  const stored = await checkpoints.find({ _id: { $in: following.map(idOf) } }, { projection: { nextOffset: 1 } }).toArray();
  const offsets = new Map(stored.map(({ _id, nextOffset }) => [_id, nextOffset]));
  const failed = following.find((checkpoint) => (offsets.get(idOf(checkpoint)) ?? -1) < (checkpoint.expectedOffset ?? 0));
  if (failed !== undefined) throw setBackError(failed);
}

/**
 * A checkpoint only ever advances, whoever writes last: of two projectors the one that lags behind changes nothing. One that comes after
 * another is written only where that is still there, or a later one.
 *
 * @throws {DocumentsSetBackError} it is gone or lower
 */
export async function writeCheckpoints(checkpoints: Collection<StoredCheckpoint>, advanced: readonly CheckpointWrite[]): Promise<void> {
  if (advanced.length === 0) return;
  const { matchedCount, upsertedCount } = await checkpoints.bulkWrite(advanced.map(advance), { ordered: false });
  // Which of them it was, is for people only.
  if (matchedCount + upsertedCount < advanced.length) throw setBackError(advanced.find(follows) as CheckpointWrite);
}

function follows({ expectedOffset }: CheckpointWrite): boolean {
  return expectedOffset !== undefined;
}

/** By the id, which is the only index: "0" is the character behind "/". */
function ofCollection(collection: string): Filter<StoredCheckpoint> {
  return { _id: { $gte: `${collection}/`, $lt: `${collection}0` }, collection };
}

function advance(checkpoint: CheckpointWrite): AnyBulkWriteOperation<StoredCheckpoint> {
  const document = storedCheckpoint(checkpoint);
  const { _id, collection, nextOffset } = document;
  const isAhead = collection.startsWith(NEWS) || { $lt: ["$nextOffset", nextOffset] };
  const update = [{ $replaceWith: { $cond: [isAhead, { $literal: document }, "$$ROOT"] } }];
  const { expectedOffset } = checkpoint;
  if (expectedOffset !== undefined) return { updateOne: { filter: { _id, nextOffset: { $gte: expectedOffset } }, update } };
  // With the id alone as the filter, MongoDB itself repeats an insert that another came before.
  return { updateOne: { filter: { _id }, update, upsert: true } };
}

function idOf({ collection, stream, partition }: Checkpoint): string {
  return `${collection}/${stream}/${partition}`;
}

export function storedCheckpoint(checkpoint: Checkpoint): StoredCheckpoint {
  const { collection, stream, partition, nextOffset, sequence, eventTimeMs, proof } = checkpoint;
  return { _id: idOf(checkpoint), collection, stream, partition, nextOffset, sequence, eventTimeMs, proof };
}

export function checkpointFromStored({ _id, ...checkpoint }: StoredCheckpoint): Checkpoint {
  return checkpoint;
}
