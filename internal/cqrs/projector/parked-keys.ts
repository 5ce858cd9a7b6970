/** The parked keys of the partitions that a projector has, at hand for every event. */

import type { DocumentReader } from "../documents.ts";
import type { DeliveredEvent } from "../event/delivered-event.ts";
import type { Projection } from "../projection.ts";
import { loadParked, loadParkedById, MAX_PARKED_KEYS, type ParkedKey, type ParkedScope, parkedId } from "./parking.ts";

/** What has its events parked. */
export interface Place {
  readonly view: Projection;
  readonly stream: string;
  readonly partition: number;
  readonly scope: ParkedScope;
  readonly key: string;
}

/** The sequence of what is no event. */
export const NO_SEQUENCE = 0;

/** The entries at hand. */
export interface ParkedKeys {
  /** The entry of a key whose events wait. */
  waiting(place: Place): ParkedKey | undefined;
  /** Whether an operator has left out an event of a key, in this or another generation of the view. */
  isSkipped(place: Place, sequence: number): boolean;
  /** The entry of a key from its event that failed on, to be written. */
  parked(place: Place, event: DeliveredEvent, error: string, nowMs: number): ParkedKey;
  /** Notes entries as they are stored now. */
  note(entries: Iterable<ParkedKey>): void;
  /** Reads entries again that others have changed. */
  reload(ids: readonly string[]): Promise<void>;
  takeOver(stream: string, partition: number): Promise<void>;
  release(stream: string, partition: number): void;
}

/** Creates the keys of no partition. */
export function createParkedKeys(documents: DocumentReader): ParkedKeys {
  const known = new Map<string, ParkedKey>();
  const skips = new Set<string>();
  let waitingCount = 0;

  return {
    waiting(place) {
      if (waitingCount === 0) return undefined;
      const entry = known.get(idOf(place));
      return entry?.state === "parked" ? entry : undefined;
    },
    isSkipped: (place, sequence) => skips.size > 0 && skips.has(skipOf(place.view.name, place, sequence)),
    parked(place, event, error, nowMs) {
      const id = idOf(place);
      const { view, stream, partition, scope, key } = place;
      const { offset, aggregateId, recordedAtMs, sequence = NO_SEQUENCE } = event;
      const { request: _, ...before } = known.get(id) ?? { id, revision: 0, skipped: [], answers: [] };
      return {
        ...before,
        collection: view.collection.name,
        view: view.name,
        stream,
        partition,
        scope,
        key,
        state: "parked",
        event: { sequence, offset, aggregateId, recordedAtMs },
        error,
        parkedAtMs: nowMs,
        depth: 1,
        queuedTo: sequence,
      };
    },
    note,
    async reload(ids) {
      const found = await loadParkedById(documents, ids);
      note(found.filter((entry) => entry !== undefined));
    },
    async takeOver(stream, partition) {
      release(stream, partition);
      note(await loadParked(documents, stream, partition));
    },
    release,
  };

  function note(entries: Iterable<ParkedKey>): void {
    for (const entry of entries) {
      if (known.get(entry.id)?.state === "parked") waitingCount -= 1;
      if (entry.state === "parked") waitingCount += 1;
      known.set(entry.id, entry);
      for (const sequence of entry.skipped) skips.add(skipOf(entry.view, entry, sequence));
    }
    if (waitingCount > MAX_PARKED_KEYS) {
      throw new Error(`more than ${MAX_PARKED_KEYS} keys are parked: not some events are bad, but a view; correct it and start again`);
    }
  }

  function release(stream: string, partition: number): void {
    for (const [id, entry] of known) {
      if (entry.partition !== partition || entry.stream !== stream) continue;
      if (entry.state === "parked") waitingCount -= 1;
      known.delete(id);
    }
  }
}

/** An entry with one more event behind it, unless it has it already. */
export function queued(entry: ParkedKey, sequence: number): ParkedKey {
  return sequence <= entry.queuedTo ? entry : { ...entry, depth: entry.depth + 1, queuedTo: sequence };
}

function idOf({ view, ...place }: Place): string {
  return parkedId({ ...place, collection: view.collection.name });
}

type SkippedPlace = Pick<ParkedKey, "stream" | "partition" | "scope" | "key">;

function skipOf(view: string, { stream, partition, scope, key }: SkippedPlace, sequence: number): string {
  return `${view}/${stream}/${partition}/${scope}/${sequence}/${key}`;
}
