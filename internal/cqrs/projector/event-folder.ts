/**
 * Folds events into the documents of several generations, one guarded write per document and batch (P6). What cannot be applied is parked, and
 * nothing passes it (P7). A write that conflicts is folded again on what is there by then.
 */

import type { Checkpoint, CheckpointWrite, Documents } from "../documents.ts";
import type { DeliveredEvent, ReadableEvent } from "../event/delivered-event.ts";
import { appliedIn } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { type ContentionOptions, createContention } from "./contention.ts";
import { createDocumentCache, type FoldedDocument } from "./document-cache.ts";
import { type Fold, foldDocument } from "./fold-document.ts";
import { createParkedKeys, NO_SEQUENCE, type ParkedKeys, type Place, queued } from "./parked-keys.ts";
import { answered, type ParkedKey, parkedAnnouncement, parkedId } from "./parking.ts";
import { PARKED, parkedWrite } from "./stored-parked-keys.ts";

/** What a generation has not applied yet, in the order of the log. */
export interface DueEvents {
  readonly view: Projection;
  readonly events: readonly DeliveredEvent[];
}

/** Folds, and keeps at hand what it needs for it. */
export interface EventFolder {
  readonly parkedKeys: ParkedKeys;
  /**
   * Folds a batch on top of the one before, which may be being written: as if all of it will be as it was folded.
   *
   * @throws {TooManyBytesError} nothing has happened; it has to be called with fewer events
   */
  fold(due: readonly DueEvents[]): Promise<FoldedBatch>;
  /** Writes what the events make of the documents, then the checkpoints. Called for each batch in turn, when the one before has been written. */
  write(batch: FoldedBatch, checkpoints: readonly CheckpointWrite[]): Promise<void>;
  /**
   * Does what an entry's request asks for. The events are those that may wait in it, from the one that failed on, as far as the generation
   * has been applied, which is what the checkpoint says.
   */
  retry(view: Projection, entry: ParkedKey, events: readonly DeliveredEvent[], checkpoint: CheckpointWrite): Promise<void>;
  /** Forgets the documents at hand. */
  clear(): void;
}

/**
 * How many pieces of documents one batch loads at most, of 3 MiB each: small events may belong to large documents. A single event is folded
 * whatever it belongs to.
 */
const MAX_PIECES = 8;

/** What events are folded into. */
export interface EventFolderOptions extends ContentionOptions {
  readonly documents: Documents;
}

/** A batch as it was folded. */
export interface FoldedBatch {
  readonly due: readonly DueEvents[];
  readonly round: Round;
  /** What is folded only when it is written: the documents that were contended. */
  readonly late: ReadonlySet<Fold>;
  /** How often anything had been parked. */
  readonly parkings: number;
}

/** What one round would write. */
interface Round {
  /** The documents and their events, folded or not. */
  readonly folds: readonly Fold[];
  readonly documents: readonly FoldedDocument[];
  /** By id. */
  readonly parked: ReadonlyMap<string, ParkedKey>;
}

/** Creates a folder of events. */
export function createEventFolder({ documents, clock, instance }: EventFolderOptions): EventFolder {
  const cache = createDocumentCache(documents);
  const parkedKeys = createParkedKeys(documents);
  const contention = createContention({ clock, instance });
  const keyOf = ({ view, id }: Fold | FoldedDocument): string => cache.keyOf(view, id);
  const isContended = (each: Fold | FoldedDocument): boolean => contention.has(keyOf(each));
  /** Counts what was parked: where its keys wait, what was folded before is folded again. */
  let parkings = 0;

  return {
    parkedKeys,
    clear: () => cache.clear(),
    async fold(due) {
      const before = parkings;
      const parked = new Map<string, ParkedKey>();
      const folds = routeAll(due, parked);
      const late = new Set(folds.filter(isContended));
      const early = late.size === 0 ? folds : folds.filter((each) => !late.has(each));
      const isOne = due.every(({ events }) => events.length <= 1);
      return { due, round: { ...(await foldEach(early, parked, isOne ? undefined : MAX_PIECES)), folds }, late, parkings: before };
    },
    async write(batch, checkpoints) {
      const { due } = batch;
      /** Documents that are written once: whether now or before a crash that lost the checkpoint makes no difference. */
      const written = new Set<string>();
      const attempts = contention.begin();
      let next = parkings === batch.parkings ? await completed(batch) : await foldAll(due, written);
      for (;;) {
        const { documents: folded, parked } = next;
        const conflicts = await cache.write(folded, checkpoints, [...parked.values()].map(parkedWrite));
        for (const each of folded) if (each.view.writeOnce) written.add(keyOf(each));
        const entries = Map.groupBy(parked.values(), ({ id }) => conflicts.has(`${PARKED}/${id}`));
        parkedKeys.note((entries.get(false) ?? []).map((entry) => ({ ...entry, revision: entry.revision + 1 })));
        parkings += parked.size;
        if (conflicts.size === 0) return;
        await attempts.failed(conflicts);
        await parkedKeys.reload((entries.get(true) ?? []).map(({ id }) => id));
        next = parked.size > 0 ? await foldAll(due, written) : await foldAgain(next, conflicts, written);
      }
    },
    async retry(view, entry, events, checkpoint) {
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
      const attempts = contention.begin();
      for (;;) {
        const only = entry.scope === "document" ? entry.key : undefined;
        const { documents: folded, parked } = await foldAll([{ view, events }], new Set(), only);
        // The documents first: an entry that says "done" before they are would let later events pass.
        const conflicts = await cache.write(folded, [checkpoint]);
        const open = folded.filter((each) => !each.view.writeOnce && conflicts.has(keyOf(each)));
        if (open.length > 0) {
          await attempts.failed(open.map(keyOf));
          continue;
        }
        const { [id]: failure, ...others } = Object.fromEntries(parked);
        return store(
          [...Object.values(others), answered(entry, failure)],
          parkedAnnouncement(entry, { atMs: Math.max(clock.now(), request.atMs + 1) }),
        );
      }
    },
  };

  /** With the documents that are folded late, and those that have become contended meanwhile, folded on what is stored now. */
  async function completed({ round, late }: FoldedBatch): Promise<Round> {
    const folds = round.folds.filter((each) => late.has(each) || isContended(each));
    if (folds.length === 0) return round;
    cache.forget(folds);
    const latest = await foldEach(folds, new Map(round.parked));
    return { ...latest, folds: round.folds, documents: [...round.documents.filter((each) => !isContended(each)), ...latest.documents] };
  }

  /** The documents that were not written, on what is stored by now. */
  function foldAgain({ folds }: Round, conflicts: ReadonlySet<string>, written: ReadonlySet<string>): Promise<Round> {
    const open = folds.filter((each) => conflicts.has(keyOf(each)) && !written.has(keyOf(each)));
    return foldEach(open, new Map());
  }

  /** An entry that somebody else has changed meanwhile is read again, and so is dealt with again. */
  async function store(entries: readonly ParkedKey[], ...announcements: readonly Checkpoint[]): Promise<void> {
    const conflicts = await documents.write(entries.map(parkedWrite), announcements);
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
  function foldAll(due: readonly DueEvents[], written: ReadonlySet<string>, only?: string): Promise<Round> {
    const parked = new Map<string, ParkedKey>();
    const folds = routeAll(due, parked).filter((each) => (only === undefined || each.id === only) && !written.has(keyOf(each)));
    return foldEach(folds, parked);
  }

  /** Folds each document, and parks what fails beside what was parked before. */
  async function foldEach(folds: readonly Fold[], parked: Map<string, ParkedKey>, maxPieces?: number): Promise<Round> {
    const loaded = await cache.load(folds, maxPieces);
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
    return { folds, documents: folded, parked };
  }

  function routeAll(due: readonly DueEvents[], parked: Map<string, ParkedKey>): readonly Fold[] {
    return due.flatMap(({ view, events }) => route(view, events, parked));
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
    const entry = parkedKeys.parked(place, event, error, clock.now());
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
