/**
 * Positions in streams of events: per stream and partition, a partition sequence. A stream is named by the id of its events topic, so a
 * position is never taken for one of another log, of another domain, or of a topic that was created again.
 */

import type { Applied } from "./documents.ts";

/** Partition to partition sequence, in one stream. Partitions that do not matter are absent. */
export type Sequences = ReadonlyMap<number, number>;

/** Stream to sequences. */
export type Positions = ReadonlyMap<string, Sequences>;

/** One place in a stream. */
export interface StreamPlace {
  readonly stream: string;
  readonly partition: number;
  readonly sequence: number;
}

/** A stream as those see it who count in it. */
export interface Stream {
  readonly id: string;
  readonly partitions: number;
}

/** No position at all. */
export const noPositions: Positions = new Map();

/** The position at one place. */
export function positionAt({ stream, partition, sequence }: StreamPlace): Positions {
  return new Map([[stream, new Map([[partition, sequence]])]]);
}

/** The positions that a document was stored with. */
export function positionsOf(applied: Applied): Positions {
  return new Map(
    Object.entries(applied).map(([stream, sequences]) => [
      stream,
      new Map(Object.entries(sequences).map(([partition, sequence]) => [Number(partition), sequence])),
    ]),
  );
}

/** The sequence that a document has applied in a partition; 0 if none. */
export function appliedIn(applied: Applied | undefined, stream: string, partition: number): number {
  return applied?.[stream]?.[partition] ?? 0;
}

/** What a document has applied after one event more. */
export function appliedUpTo(applied: Applied | undefined, { stream, partition, sequence }: StreamPlace): Applied {
  return { ...applied, [stream]: { ...applied?.[stream], [partition]: sequence } };
}

/** Whether positions cover others: whoever has applied the first has applied the others. */
export function covers(positions: Positions, others: Positions): boolean {
  for (const [stream, sequences] of others) {
    const own = positions.get(stream);
    for (const [partition, sequence] of sequences) if (sequence > (own?.get(partition) ?? 0)) return false;
  }
  return true;
}

/** The later of each position. The first ones themselves, if the others add nothing to them. */
export function mergePositions(first: Positions, ...others: readonly Positions[]): Positions {
  let merged: Map<string, Sequences> | undefined;
  for (const positions of others) {
    for (const [stream, sequences] of positions) {
      const before = (merged ?? first).get(stream) ?? new Map<number, number>();
      const after = mergeSequences(before, sequences);
      if (after === before) continue;
      merged ??= new Map(first);
      merged.set(stream, after);
    }
  }
  return merged ?? first;
}

function mergeSequences(first: Sequences, others: Sequences): Sequences {
  let merged: Map<number, number> | undefined;
  for (const [partition, sequence] of others) {
    if (sequence <= ((merged ?? first).get(partition) ?? 0)) continue;
    merged ??= new Map(first);
    merged.set(partition, sequence);
  }
  return merged ?? first;
}
