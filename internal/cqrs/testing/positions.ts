/** Positions of a stream that no log has, for tests that write documents themselves. */

import fc from "fast-check";
import type { Applied, Checkpoint, Documents } from "../documents.ts";
import type { Positions, Stream } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { generationsCollection, openCatalogue } from "../projector/generations.ts";

/** The stream of these positions. */
export const testStream = "stream-1";

/** Two streams to count in. */
export const streams = [
  { id: testStream, partitions: 8 },
  { id: "stream-2", partitions: 8 },
] as const;

const anySequences = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })), { minLength: 1 })
  .map((entries) => new Map(entries));

/** Any positions in them, at least one. */
export const anyPositions: fc.Arbitrary<Positions> = fc
  .array(fc.tuple(fc.constantFrom(...streams.map(({ id }) => id)), anySequences), { minLength: 1 })
  .map((entries) => new Map(entries));

/** What a document has applied in the stream. */
export function applied(sequences: Readonly<Record<number, number>>): Applied {
  return { [testStream]: sequences };
}

/** Positions in the stream. */
export function positions(sequences: Readonly<Record<number, number>>): Positions {
  return new Map([[testStream, new Map(Object.entries(sequences).map(([partition, sequence]) => [Number(partition), sequence]))]]);
}

/** A checkpoint in the stream, behind the record that an event with this sequence would be. */
export function checkpointAt(
  { collection }: Pick<Projection, "collection">,
  partition: number,
  sequence: number,
  others: Partial<Checkpoint> = {},
): Checkpoint {
  const position = { nextOffset: sequence, sequence, eventTimeMs: 0, proof: sequence === 0 ? "" : `proof-${sequence}` };
  return { collection: collection.name, stream: testStream, partition, ...position, ...others };
}

/** Writes down which stream views follow, as a projector does before anything else. */
export async function introduce(
  documents: Documents,
  views: readonly Projection[],
  partitions: number,
  stream: Stream = { id: testStream, partitions },
): Promise<void> {
  await documents.prepare([generationsCollection]);
  for (const view of views) {
    await openCatalogue(documents).change(view, (entry) => ({ ...entry, streams: [{ ...stream, topic: "events" }] }));
  }
}
