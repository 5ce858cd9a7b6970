/** The checkpoints of all views in one collection, one document for each view and partition. */

import type { AnyBulkWriteOperation, Collection } from "mongodb";
import type { Checkpoint } from "../../cqrs/documents.ts";

/** State, like the names of the fields: renaming it abandons what is there. Collections of views begin with a letter. */
export const CHECKPOINTS = "_checkpoints";

export interface StoredCheckpoint extends Omit<Checkpoint, "eventTimeMs"> {
  readonly _id: string;
  readonly eventTimeMs?: number;
}

/** Those of one view, or all: some dozens. */
export async function loadCheckpoints(checkpoints: Collection<StoredCheckpoint>, collection?: string): Promise<readonly Checkpoint[]> {
  const found = await checkpoints.find(collection === undefined ? {} : { collection }).toArray();
  return found.map(checkpointFromStored);
}

export async function dropCheckpoints(checkpoints: Collection<StoredCheckpoint>, collection: string): Promise<void> {
  await checkpoints.deleteMany({ collection });
}

/** A checkpoint only ever advances, whoever writes last: of two projectors the one that lags behind changes nothing. */
export async function writeCheckpoints(checkpoints: Collection<StoredCheckpoint>, advanced: readonly Checkpoint[]): Promise<void> {
  if (advanced.length > 0) await checkpoints.bulkWrite(advanced.map(advance), { ordered: false });
}

function advance(checkpoint: Checkpoint): AnyBulkWriteOperation<StoredCheckpoint> {
  const { collection, partition, logId, nextOffset, sequence, eventTimeMs } = checkpoint;
  const _id = `${collection}/${partition}`;
  const isAhead = { $or: [{ $ne: ["$logId", { $literal: logId }] }, { $lt: ["$nextOffset", nextOffset] }] };
  const document = { $literal: { _id, collection, partition, logId, nextOffset, sequence, eventTimeMs } };
  // With the id alone as the filter, MongoDB itself repeats an insert that another came before.
  return { updateOne: { filter: { _id }, update: [{ $replaceWith: { $cond: [isAhead, document, "$$ROOT"] } }], upsert: true } };
}

/** One of an earlier version does not tell when its event was recorded. */
export function checkpointFromStored({ eventTimeMs = 0, ...checkpoint }: StoredCheckpoint): Checkpoint {
  const { collection, partition, logId, nextOffset, sequence } = checkpoint;
  return { collection, partition, logId, nextOffset, sequence, eventTimeMs };
}
