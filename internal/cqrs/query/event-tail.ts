/**
 * Events in the order of their partitions, read from a view that has a document per event, as far as the view is complete: so without a gap
 * and each once, from any position on. Whoever is at the same place reads the same chunk, once for all; who is slow reads later. A partition
 * in which an event is parked goes on when an operator has decided on it; what was left out for good is passed over.
 */

import { type Bell, createBell } from "../bell.ts";
import { type Applied, type Condition, type DocumentReader, DocumentsUnavailableError, type Fields, type Find } from "../documents.ts";
import { positionAt, type Sequences } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { type LeftOut, loadLeftOut } from "../projector/parking.ts";
import type { EventMessage } from "../upcasting.ts";
import { type EventPlace, type EventPosition, placeOfEvent } from "./event-position.ts";
import type { Freshness } from "./freshness.ts";

/** Where an event's document has its partition, and its sequence there: the view needs an index of these two. */
export const partitionField = "partition";
/** See {@link partitionField}. */
export const sequenceField = "metadata.sequence";

/** How many events one read takes: few enough that hundreds who are at different places hold little. */
const MAX_EVENTS = 256;

/** How many places are remembered: those at which subscriptions go on are mostly the same ones. */
const MAX_PLACES = 4_096;

/** The field that such a view derives: the partition of the one event that a document was made by. */
export function partitionOfEvent(applied: Applied): Fields {
  const [sequences = {}] = Object.values(applied);
  return { [partitionField]: Number(Object.keys(sequences)[0] ?? 0) };
}

/** A run of events of one partition. */
export interface EventChunk<Event> {
  readonly stream: string;
  readonly partition: number;
  readonly events: readonly Event[];
  /** Everything up to here has been looked at. */
  readonly place: EventPlace;
  /** The sequence up to which everything could be read then. */
  readonly end: number;
}

/** What one read has found; `isAll`: nothing more is wanted up to the end. */
type FoundEvents<Event> = Omit<EventChunk<Event>, "place"> & { readonly isAll: boolean };

/** Which events of a partition are wanted. */
export interface EventSelection<Event> {
  /** Absent: in all. */
  readonly partitions?: readonly number[];
  /** Absent: they are all wanted. */
  readonly filter?: EventFilter<Event>;
}

/** A condition on events, twice. */
export interface EventFilter<Event> {
  /** For events that have just come, and are read for everybody. */
  readonly isWanted: (event: Event) => boolean;
  /** For who is far behind and need not read all events: how the wanted ones are found in the order of their sequences. */
  readonly query: (partition: number) => Pick<Find, "where" | "sort">;
}

/** The events of a stream, as a view has them. */
export interface EventTail<Event> {
  /**
   * The position behind the last event that can be read now, in these partitions, or in all.
   *
   * @throws {NotYetVisibleError} nobody knows yet which stream it is
   * @throws {DocumentsUnavailableError}
   */
  end(partitions?: readonly number[]): Promise<EventPosition>;
  /**
   * The position of the events that have these sequences now, which can be read.
   *
   * @throws {DocumentsUnavailableError}
   */
  at(sequences: Sequences): Promise<EventPosition>;
  /**
   * Chunks behind a position, then new ones as they come, until the signal aborts. Nothing is read before it is asked for.
   *
   * @throws {DocumentsUnavailableError}
   */
  follow(from: EventPosition, selection: EventSelection<Event>, signal: AbortSignal): AsyncGenerator<EventChunk<Event>>;
}

/** What events are read of. */
export interface EventTailOptions<Event extends EventMessage> {
  readonly documents: Pick<DocumentReader, "find">;
  readonly freshness: Pick<Freshness, "watch" | "stream" | "collection" | "positions" | "confirms" | "onSetBack">;
  readonly view: Omit<Projection, "decode"> & { decode(fields: Fields): Event };
  /** Other views that must show an event before it is read here. */
  readonly alongside?: readonly Projection[];
}

/** Reads events for as long as the freshness lives. */
export function createEventTail<Event extends EventMessage>(options: EventTailOptions<Event>): EventTail<Event> {
  const { documents, freshness, view, alongside = [] } = options;
  const views = [view, ...alongside];
  /** The last read of each partition. Not more: what was read before another is never given out after it. */
  const lastReads = new Map<number, { readonly after: number; readonly chunk: Promise<EventChunk<Event>> }>();

  /** By partition and sequence; what was asked for last is at the end. */
  const places = new Map<string, Promise<EventPlace>>();

  freshness.onSetBack(() => {
    lastReads.clear();
    places.clear();
  });

  return {
    end: async (partitions = allPartitions()) => at(new Map(partitions.map((partition) => [partition, endOf(partition)]))),
    at,
    async *follow(from, selection, signal) {
      const positions = new Map(from);
      const due = new Set(selection.partitions ?? allPartitions());
      const followed = new Set(due);
      const bell = createBell();
      using _watches = watchAll(followed, due, bell);
      while (!signal.aborted) {
        const [partition] = due;
        if (partition === undefined) {
          await bell.rung(signal);
          continue;
        }
        due.delete(partition);
        const after = positions.get(partition)?.sequence ?? 0;
        if (endOf(partition) <= after) continue;
        const chunk = await read(partition, after, selection.filter);
        // An event waits for an operator, and all behind it wait too: it is there when its turn comes.
        if (chunk.place.sequence === after) continue;
        positions.set(partition, chunk.place);
        // Behind the others: no partition waits for all of another.
        if (chunk.place.sequence < endOf(partition)) due.add(partition);
        yield chunk;
      }
    },
  };

  function allPartitions(): readonly number[] {
    return Array.from({ length: freshness.stream(view).partitions }, (_, partition) => partition);
  }

  function endOf(partition: number): number {
    const { id } = freshness.stream(view);
    return Math.min(...views.map((each) => freshness.positions(each).get(id)?.get(partition) ?? 0));
  }

  function watchAll(followed: ReadonlySet<number>, due: Set<number>, bell: Bell): Disposable {
    const stack = new DisposableStack();
    for (const each of views) {
      const watch = freshness.watch(each, (partition) => {
        if (!followed.has(partition)) return;
        due.add(partition);
        bell.ring();
      });
      stack.use(watch);
    }
    return stack;
  }

  async function read(partition: number, after: number, filter: EventFilter<Event> | undefined): Promise<EventChunk<Event>> {
    if (filter === undefined) return readShared(partition, after);
    if (endOf(partition) - after > MAX_EVENTS) return findSome(partition, after, filter);
    return wantedOf(await readShared(partition, after), filter);
  }

  function readShared(partition: number, after: number): Promise<EventChunk<Event>> {
    const last = lastReads.get(partition);
    if (last?.after === after) return last.chunk;
    const chunk = findAll(partition, after);
    const own = { after, chunk };
    lastReads.set(partition, own);
    const forget = (): void => {
      if (lastReads.get(partition) === own) lastReads.delete(partition);
    };
    chunk.then(({ place }) => place.sequence === after && forget(), forget);
    return chunk;
  }

  /** Nobody can count what is wanted: it is complete if the view is still there, up to where it was read, and nothing waits before. */
  async function findSome(partition: number, after: number, filter: EventFilter<Event>): Promise<EventChunk<Event>> {
    const { waitsFrom } = await leftOut(partition);
    // What else waits behind it can only be counted.
    if (waitsFrom <= after) return wantedOf(await readShared(partition, after), filter);
    const end = Math.min(endOf(partition), waitsFrom - 1);
    const found = await find(partition, { after, end }, filter.query(partition));
    const { stream } = found;
    if (await freshness.confirms(view, positionAt({ stream, partition, sequence: end }))) return withPlace(found);
    throw missing(partition, after);
  }

  async function findAll(partition: number, after: number): Promise<EventChunk<Event>> {
    const where = [{ field: partitionField, op: "eq", value: partition } as const];
    const sort = [{ field: sequenceField, descending: false }];
    const found = await find(partition, { after, end: endOf(partition) }, { where, sort });
    const last = found.isAll ? found.end : sequenceOf(found.events.at(-1));
    if (found.events.length === last - after) return withPlace(found);
    const { waitsFrom, skipped } = await leftOut(partition);
    const present = new Set(found.events.map(sequenceOf));
    let end = after;
    while (end < last && (present.has(end + 1) || skipped.has(end + 1))) end += 1;
    if (end === last) return withPlace(found);
    if (waitsFrom > end + 1) throw missing(partition, end);
    return withPlace({ ...found, events: found.events.filter((event) => sequenceOf(event) <= end), end, isAll: true });
  }

  function leftOut(partition: number): Promise<LeftOut> {
    const { id: stream } = freshness.stream(view);
    return loadLeftOut(documents, { view: view.name, collection: freshness.collection(view), stream, partition });
  }

  async function find(
    partition: number,
    { after, end }: { readonly after: number; readonly end: number },
    { where, sort }: Pick<Find, "where" | "sort">,
  ): Promise<FoundEvents<Event>> {
    const { id: stream } = freshness.stream(view);
    const range: readonly Condition[] = [
      { field: sequenceField, op: "gt", value: after },
      { field: sequenceField, op: "lte", value: end },
    ];
    const page = await documents.find({ collection: view.collection.name, where: [...where, ...range], sort, limit: MAX_EVENTS });
    const events = page.documents.map(({ fields }) => view.decode(fields));
    return { stream, partition, events, end, isAll: page.next === undefined };
  }

  async function withPlace({ isAll, ...found }: FoundEvents<Event>): Promise<EventChunk<Event>> {
    const { partition, events, end } = found;
    const [last] = events.slice(-1).map((event) => placeOfEvent(partition, event));
    const isThere = last !== undefined && (!isAll || last.sequence === end);
    return { ...found, place: isThere ? last : await placeAt(partition, end) };
  }

  async function at(sequences: Sequences): Promise<EventPosition> {
    const begun = [...sequences].filter(([, sequence]) => sequence > 0);
    return new Map(await Promise.all(begun.map(async ([partition, sequence]) => [partition, await placeAt(partition, sequence)] as const)));
  }

  function placeAt(partition: number, sequence: number): Promise<EventPlace> {
    const key = `${partition}/${sequence}`;
    const place = places.get(key) ?? findPlace(partition, sequence);
    places.delete(key);
    places.set(key, place);
    const [oldest] = places.keys();
    if (places.size > MAX_PLACES && oldest !== undefined) places.delete(oldest);
    const forget = (): void => {
      if (places.get(key) === place) places.delete(key);
    };
    // An event that waits for an operator may have a document later.
    place.then(({ mark }) => mark === undefined && forget(), forget);
    return place;
  }

  async function findPlace(partition: number, sequence: number): Promise<EventPlace> {
    const where: readonly Condition[] = [
      { field: partitionField, op: "eq", value: partition },
      { field: sequenceField, op: "eq", value: sequence },
    ];
    const { documents: found } = await documents.find({ collection: view.collection.name, where, sort: [], limit: 1 });
    const [document] = found;
    return document === undefined ? { sequence, mark: undefined } : placeOfEvent(partition, view.decode(document.fields));
  }
}

function wantedOf<Event>(chunk: EventChunk<Event>, { isWanted }: EventFilter<Event>): EventChunk<Event> {
  return { ...chunk, events: chunk.events.filter(isWanted) };
}

function sequenceOf(event: EventMessage | undefined): number {
  return Number(event?.metadata?.sequence ?? 0);
}

function missing(partition: number, after: number): DocumentsUnavailableError {
  return new DocumentsUnavailableError(`events of partition ${partition} are missing behind ${after}; are the documents being built?`);
}
