/** Folds events into one document, up to the first that it cannot take in each partition. */

import type { Applied, Fields } from "../documents.ts";
import type { ReadableEvent } from "../event/delivered-event.ts";
import { appliedIn, appliedUpTo } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { bytesOf } from "./document-bytes.ts";
import type { CachedDocument, FoldedDocument, KnownDocument } from "./document-cache.ts";

/** What is to be folded into a document, in the order of the log. */
export interface Fold {
  readonly view: Projection;
  readonly id: string;
  readonly events: readonly ReadableEvent[];
}

/** An event that a document cannot take. */
export interface FoldFailure {
  readonly event: ReadableEvent;
  readonly error: string;
}

/** What became of the events. */
export interface FoldResult {
  /** Absent if nothing changed. */
  readonly folded?: FoldedDocument;
  /** The first of each partition of a stream that failed: it and those of its partition behind it are not in the document. */
  readonly failures: readonly FoldFailure[];
}

/** Folds, from the document as it was loaded. Events that are in it already, and those to be left out, are passed over. */
export function foldDocument(fold: Fold, before: CachedDocument | undefined, isSkipped: (event: ReadableEvent) => boolean): FoldResult {
  if (before !== undefined && "unreadable" in before) return allFailed(fold, before.applied, before.unreadable);
  const quick = foldEach(fold, before, isSkipped, false);
  try {
    return withFields(fold, before, quick);
  } catch {
    // Which event has brought in what cannot be stored, only a look after each tells.
    return withFields(fold, before, foldEach(fold, before, isSkipped, true));
  }
}

interface State {
  readonly document: object | undefined;
  /** Whether an event was left out: the document stays, its position does not. */
  readonly hasSkipped: boolean;
  readonly applied: Applied;
  readonly failures: readonly FoldFailure[];
}

function foldEach(
  { view, id, events }: Fold,
  before: KnownDocument | undefined,
  isSkipped: (event: ReadableEvent) => boolean,
  encodes: boolean,
): State {
  let document = before?.document;
  const applied = copyOf(before?.applied);
  const failures = new Map<string, FoldFailure>();
  let hasSkipped = false;
  for (const event of events) {
    const { stream, partition, sequence } = event;
    if (sequence <= appliedIn(applied, stream, partition) || (failures.size > 0 && failures.has(placeOf(event)))) continue;
    try {
      const isLeftOut = isSkipped(event);
      const next = isLeftOut ? document : view.fold(document, id, event.event);
      hasSkipped ||= isLeftOut;
      if (encodes && next !== undefined) view.encode(next, appliedUpTo(applied, event));
      document = next;
      (applied[stream] ??= {})[partition] = sequence;
    } catch (error) {
      failures.set(placeOf(event), { event, error: error instanceof Error ? error.message : String(error) });
    }
  }
  return { document, hasSkipped, applied, failures: [...failures.values()] };
}

function withFields({ view, id }: Fold, before: KnownDocument | undefined, state: State): FoldResult {
  const { document, hasSkipped, applied, failures } = state;
  if (document === undefined || (document === before?.document && !hasSkipped)) return { failures };
  const fields: Fields = view.encode(document, applied);
  return { failures, folded: { view, id, document, applied, fields, bytes: bytesOf(fields), revision: before?.revision ?? 0 } };
}

function allFailed({ events }: Fold, applied: Applied, error: string): FoldResult {
  const failures = new Map<string, FoldFailure>();
  for (const event of events) {
    const { stream, partition, sequence } = event;
    if (sequence > appliedIn(applied, stream, partition) && !failures.has(placeOf(event))) failures.set(placeOf(event), { event, error });
  }
  return { failures: [...failures.values()] };
}

function copyOf(applied: Applied = {}): Record<string, Record<number, number>> {
  return Object.fromEntries(Object.entries(applied).map(([stream, sequences]) => [stream, { ...sequences }]));
}

function placeOf({ stream, partition }: ReadableEvent): string {
  return `${stream}/${partition}`;
}
