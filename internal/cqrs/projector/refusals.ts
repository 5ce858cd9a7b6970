/**
 * What a projector tells those who read, where it has found that the documents are not those of the log: queries have no log to find it
 * themselves. It is a note beside the checkpoints, which everybody watches.
 */

import { type Checkpoint, type Documents, NEWS } from "../documents.ts";

/** Where the notes lie. The name is state. */
export const REFUSALS = `${NEWS}refused`;

/** A partition of a stream. */
interface Place {
  readonly stream: string;
  readonly partition: number;
}

/** Notes whether the documents are of another history of a partition than the log has. Nothing is written if that is known. */
export async function noteRefusal(
  documents: Documents,
  place: Place & { readonly isRefused: boolean; readonly nowMs: number },
): Promise<void> {
  const { stream, partition, isRefused, nowMs } = place;
  const known = await documents.checkpoints(REFUSALS);
  if (known.some((each) => isRefusal(each) && each.stream === stream && each.partition === partition) === isRefused) return;
  // The time makes it differ from the one before: a store tells nobody of a write that changes nothing.
  const note = { collection: REFUSALS, stream, partition, nextOffset: nowMs, sequence: isRefused ? 1 : 0, eventTimeMs: 0, proof: "" };
  await documents.write([], [note]);
}

/** Whether a note is one that refuses, and not one that takes a refusal back. */
export function isRefusal({ collection, sequence }: Checkpoint): boolean {
  return collection === REFUSALS && sequence > 0;
}
