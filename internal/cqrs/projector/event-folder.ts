/**
 * Folds events into the documents of several generations, one guarded write per document and batch (P6). What cannot be applied is parked, and
 * nothing passes it (P7). A write that conflicts is folded again on what is there by then.
 */

import type { Checkpoint, Documents } from "../documents.ts";
import type { DeliveredEvent, ReadableEvent } from "../event/delivered-event.ts";
import { appliedIn } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { createDocumentCache, type FoldedDocument } from "./document-cache.ts";
import { type Fold, foldDocument } from "./fold-document.ts";
import { createParkedKeys, NO_SEQUENCE, type ParkedKeys, type Place, queued } from "./parked-keys.ts";
import { answered, type ParkedKey, parkedId } from "./parking.ts";
import { PARKED, parkedWrite } from "./stored-parked-keys.ts";

/** Another projector may win a document's revision; it is loaded and folded again so often before something else must be wrong. */
const MAX_CONFLICT_ROUNDS = 20;

/** What a generation has not applied yet, in the order of the log. */
export interface DueEvents {
  readonly view: Projection;
  readonly events: readonly DeliveredEvent[];
}

/** Folds, and keeps at hand what it needs for it. */
export interface EventFolder {
  readonly parkedKeys: ParkedKeys;
  /** Folds a batch on top of the one before, which may be being written: as if all of it will be as it was folded. */
  fold(due: readonly DueEvents[]): Promise<FoldedBatch>;
  /** Writes what the events make of the documents, then the checkpoints. Called for each batch in turn, when the one before has been written. */
  write(batch: FoldedBatch, checkpoints: readonly Checkpoint[]): Promise<void>;
  /**
   * Does what an entry's request asks for. The events are those that may wait in it, from the one that failed on, as far as the generation
   * has been applied.
   */
  retry(view: Projection, entry: ParkedKey, events: readonly DeliveredEvent[]): Promise<void>;
  /** Forgets the documents at hand. */
  clear(): void;
}

/** What events are folded into. */
export interface EventFolderOptions {
  readonly documents: Documents;
  /** In milliseconds since 1970. */
  readonly now: () => number;
}

/** A batch as it was folded. */
export interface FoldedBatch {
  readonly due: readonly DueEvents[];
  readonly round: Round;
  /** How many surprises there had been. */
  readonly surprises: number;
}

/** What one round would write. */
interface Round {
  readonly documents: readonly FoldedDocument[];
  /** By id. */
  readonly parked: ReadonlyMap<string, ParkedKey>;
}

/** Creates a folder of events. */
export function createEventFolder({ documents, now }: EventFolderOptions): EventFolder {
  const cache = createDocumentCache(documents);
  const parkedKeys = createParkedKeys(documents);
  /** Counts what was written otherwise than it was folded, and what was parked: on top of that, what was folded before is folded again. */
  let surprises = 0;

  return {
    parkedKeys,
    clear: () => cache.clear(),
    async fold(due) {
      const before = surprises;
      return { due, round: await fold(due, new Set()), surprises: before };
    },
    async write({ due, round: ahead, surprises: before }, checkpoints) {
      /** Documents that are written once: whether now or before a crash that lost the checkpoint makes no difference. */
      const written = new Set<string>();
      let next = surprises === before ? ahead : await fold(due, written);
      for (let round = 0; round < MAX_CONFLICT_ROUNDS; round += 1) {
        const { documents: folded, parked } = next;
        const conflicts = await cache.write(folded, checkpoints, [...parked.values()].map(parkedWrite));
        for (const { view, id } of folded) if (view.writeOnce) written.add(cache.keyOf(view, id));
        const entries = Map.groupBy(parked.values(), ({ id }) => conflicts.has(`${PARKED}/${id}`));
        parkedKeys.note((entries.get(false) ?? []).map((entry) => ({ ...entry, revision: entry.revision + 1 })));
        if (round > 0 || conflicts.size + parked.size > 0) surprises += 1;
        if (conflicts.size === 0) return;
        await parkedKeys.reload((entries.get(true) ?? []).map(({ id }) => id));
        next = await fold(due, written);
      }
      throw restless();
    },
    async retry(view, entry, events) {
      const { id, event, skipped, request } = entry;
      if (request === undefined) return;
      if (entry.scope === "record") {
        const error = "it is no event, so nothing waits for it; skip it when it has been looked into";
        return store([request.action === "skip" ? answered(entry) : answered(entry, { ...entry, error })]);
      }
      const leftOut = request.action === "skip" ? [...skipped, event.sequence] : skipped;
      parkedKeys.note([{ ...entry, state: "retried", skipped: leftOut }]);
      const passed = await findPassed(view, entry, events);
      if (passed !== undefined) return store([answered(entry, { ...entry, error: passed })]);
      for (let round = 0; round < MAX_CONFLICT_ROUNDS; round += 1) {
        const only = entry.scope === "document" ? entry.key : undefined;
        const { documents: folded, parked } = await fold([{ view, events }], new Set(), only);
        // The documents first: an entry that says "done" before they are would let later events pass.
        const conflicts = await cache.write(folded, []);
        const open = folded.filter((each) => !each.view.writeOnce && conflicts.has(cache.keyOf(each.view, each.id)));
        if (open.length > 0) continue;
        const { [id]: failure, ...others } = Object.fromEntries(parked);
        return store([...Object.values(others), answered(entry, failure)]);
      }
      throw restless();
    },
  };

  /** An entry that somebody else has changed meanwhile is read again, and so is dealt with again. */
  async function store(entries: readonly ParkedKey[]): Promise<void> {
    const conflicts = await documents.write(entries.map(parkedWrite), []);
    const conflicting = new Set(conflicts.map(({ id }) => id));
    parkedKeys.note(entries.filter(({ id }) => !conflicting.has(id)).map((entry) => ({ ...entry, revision: entry.revision + 1 })));
    await parkedKeys.reload([...conflicting]);
  }

  /**
   * Why events that waited with their aggregate cannot be applied any more: a document that other aggregates change too is beyond them, and
   * what it has applied does not tell which of them.
   */
  async function findPassed(view: Projection, { scope }: ParkedKey, events: readonly DeliveredEvent[]): Promise<string | undefined> {
    if (scope !== "aggregate" || view.writeOnce) return undefined;
    const folds = route(view, events, new Map());
    const loaded = await cache.load(folds);
    const passed = folds.find(({ id, events: own }, index) =>
      own.some((event) => id !== event.aggregateId && event.sequence <= appliedIn(loaded[index]?.applied, event.stream, event.partition)),
    );
    if (passed === undefined) return undefined;
    return `the document ${passed.id} has gone on with the events of others; rebuild the view to have these in it: headwater views rebuild ${view.name}`;
  }

  /** Of the documents, `only` one or all. */
  async function fold(due: readonly DueEvents[], written: ReadonlySet<string>, only?: string): Promise<Round> {
    const parked = new Map<string, ParkedKey>();
    const folds = due
      .flatMap(({ view, events }) => route(view, events, parked))
      .filter(({ view, id }) => (only === undefined || id === only) && !written.has(cache.keyOf(view, id)));
    const loaded = await cache.load(folds);
    const folded: FoldedDocument[] = [];
    folds.forEach((each, index) => {
      const { view, id, events } = each;
      const placeOf = ({ stream, partition }: ReadableEvent): Place => ({ view, stream, partition, scope: "document", key: id });
      const result = foldDocument(each, loaded[index], (event) => parkedKeys.isSkipped(placeOf(event), event.sequence));
      if (result.folded !== undefined) folded.push(result.folded);
      for (const { event, error } of result.failures) {
        park(placeOf(event), event, error, parked);
        for (const later of events) if (isBeside(later, event)) enqueue(placeOf(event), later, parked);
      }
    });
    return { documents: folded, parked };
  }

  /** Sorts a view's events by document; those of parked keys queue up behind the one that failed. */
  function route(view: Projection, events: readonly DeliveredEvent[], parked: Map<string, ParkedKey>): readonly Fold[] {
    const folds = new Map<string, Fold & { readonly events: ReadableEvent[] }>();
    for (const event of events) {
      for (const id of documentsOf(view, event, parked)) {
        const readable = event as ReadableEvent;
        if (enqueue({ view, stream: event.stream, partition: event.partition, scope: "document", key: id }, event, parked)) continue;
        const own = folds.get(id) ?? { view, id, events: [] };
        folds.set(id, own);
        own.events.push(readable);
      }
    }
    return [...folds.values()];
  }

  /** The documents that an event belongs to; none if it waits with its aggregate, or is no event. */
  function documentsOf(view: Projection, event: DeliveredEvent, parked: Map<string, ParkedKey>): readonly string[] {
    const { stream, partition, offset, aggregateId: key, sequence } = event;
    if (sequence === undefined) {
      const record: Place = { view, stream, partition, scope: "record", key: String(offset) };
      if (!parkedKeys.isSkipped(record, NO_SEQUENCE)) park(record, event, "error" in event ? event.error : "", parked);
      return [];
    }
    const place: Place = { view, stream, partition, scope: "aggregate", key };
    if (enqueue(place, event, parked) || parkedKeys.isSkipped(place, sequence)) return [];
    try {
      if ("error" in event) throw new TypeError(event.error);
      return view.keys(event.event);
    } catch (error) {
      park(place, event, error instanceof Error ? error.message : String(error), parked);
      return [];
    }
  }

  function park(place: Place, event: DeliveredEvent, error: string, parked: Map<string, ParkedKey>): void {
    const entry = parkedKeys.parked(place, event, error, now());
    if (!parked.has(entry.id)) parked.set(entry.id, entry);
  }

  /** Whether the key waits; then the event waits behind it. */
  function enqueue(place: Place, { sequence = NO_SEQUENCE }: DeliveredEvent, parked: Map<string, ParkedKey>): boolean {
    const known = parkedKeys.waiting(place);
    if (known === undefined && parked.size === 0) return false;
    const entry = parked.get(parkedId({ ...place, collection: place.view.collection.name })) ?? known;
    // What comes before the one that failed is no part of the queue, also when it is delivered again.
    if (entry === undefined || sequence < entry.event.sequence) return false;
    const after = queued(entry, sequence);
    if (after !== known) parked.set(entry.id, after);
    return true;
  }
}

function isBeside(one: ReadableEvent, other: ReadableEvent): boolean {
  return one.partition === other.partition && one.stream === other.stream;
}

function restless(): Error {
  return new Error(`documents kept changing under the projector for ${MAX_CONFLICT_ROUNDS} rounds`);
}
