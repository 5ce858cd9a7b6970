/** The checkpoints of all views in one collection, one document for each view, stream and partition. */

import type { AnyBulkWriteOperation, Collection, Filter } from "mongodb";
import { type Checkpoint, NEWS } from "../../cqrs/documents.ts";

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

/** A checkpoint only ever advances, whoever writes last: of two projectors the one that lags behind changes nothing. */
export async function writeCheckpoints(checkpoints: Collection<StoredCheckpoint>, advanced: readonly Checkpoint[]): Promise<void> {
  if (advanced.length > 0) await checkpoints.bulkWrite(advanced.map(advance), { ordered: false });
}

/** By the id, which is the only index: "0" is the character behind "/". */
function ofCollection(collection: string): Filter<StoredCheckpoint> {
  return { _id: { $gte: `${collection}/`, $lt: `${collection}0` }, collection };
}

function advance(checkpoint: Checkpoint): AnyBulkWriteOperation<StoredCheckpoint> {
  const document = storedCheckpoint(checkpoint);
  const { _id, collection, nextOffset } = document;
  const isAhead = collection.startsWith(NEWS) || { $lt: ["$nextOffset", nextOffset] };
  // With the id alone as the filter, MongoDB itself repeats an insert that another came before.
  return {
    updateOne: { filter: { _id }, update: [{ $replaceWith: { $cond: [isAhead, { $literal: document }, "$$ROOT"] } }], upsert: true },
  };
}

export function storedCheckpoint({
  collection,
  stream,
  partition,
  nextOffset,
  sequence,
  eventTimeMs,
  proof,
}: Checkpoint): StoredCheckpoint {
  const _id = `${collection}/${stream}/${partition}`;
  return { _id, collection, stream, partition, nextOffset, sequence, eventTimeMs, proof };
}

export function checkpointFromStored({ _id, ...checkpoint }: StoredCheckpoint): Checkpoint {
  return checkpoint;
}
