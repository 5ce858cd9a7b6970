/**
 * What the query side knows of its views' progress: lets a query wait for a token's position, bounded and without polling (P4). It also knows
 * which generation of each view to read, and goes over to another only when that shows no less.
 *
 * What is known only rises, but the store may be set back under a process that runs: documents are removed to be built again, or an older
 * backup is restored. A checkpoint that is gone, lower or of another stream says so. Then everything is forgotten, and known again from what is
 * there. Before that is noticed, who has read asks whether what the reading rested on is still there.
 */

import type { Checkpoint, DocumentReader, Documents } from "../documents.ts";
import { covers, type Positions, type Stream } from "../positions.ts";
import { createProgress } from "../progress.ts";
import type { Projection } from "../projection.ts";
import { announcedView, openCatalogue } from "../projector/generations.ts";
import { isParkedRequest } from "../projector/parking.ts";
import { isRefusal, REFUSALS } from "../projector/refusals.ts";
import { untilAborted } from "../until-aborted.ts";
import { sharedRead } from "./shared-read.ts";
import { createTurns } from "./turns.ts";

/**
 * How many reads by id, and how many pages, are under way at once; the others wait. Each may hold 3 MiB of documents, which are several times
 * as much in memory, however many callers ask. Reads by id are apart, since a page may take long.
 */
const LOADS_AT_ONCE = 16;
const FINDS_AT_ONCE = 8;

/** A view cannot show a token's position yet; the same read may succeed a moment later. */
export class NotYetVisibleError extends Error {
  override readonly name = "NotYetVisibleError";
}

/**
 * A projector has found that the documents are not those of the log: it lost its end or was restored, and has gone on otherwise. What they
 * show may never have happened.
 */
export class RefusedDocumentsError extends Error {
  override readonly name = "RefusedDocumentsError";
}

/** The progress of the views, as the query side knows it. */
export interface Freshness extends AsyncDisposable {
  /** The streams that the views follow; none until a projector has written down what it follows. */
  readonly streams: readonly Stream[];
  /**
   * The same, waiting for it.
   *
   * @throws {NotYetVisibleError} the signal aborted first
   */
  known(signal: AbortSignal): Promise<readonly Stream[]>;
  /**
   * The stream that a view follows.
   *
   * @throws {NotYetVisibleError} nobody knows yet
   * @throws {RefusedDocumentsError}
   */
  stream(view: Projection): Stream;
  /**
   * The documents, in which each view's collection is that of its live generation, whichever that is by now. Where a projector has found
   * that they are not those of the log, nothing is read, but a {@link RefusedDocumentsError} thrown.
   */
  readonly documents: DocumentReader;
  /** The name of the collection that a view is read from now. @throws {RefusedDocumentsError} */
  collection(view: Projection): string;
  /** The positions up to which a view is complete. They go back only with the documents, see `onSetBack`. */
  positions(view: Projection): Positions;
  /** When the newest event that a view shows was recorded, in milliseconds since 1970; undefined if there is none. */
  latestEventMs(view: Projection): number | undefined;
  /**
   * Waits until a view shows everything up to a position, in the streams that it follows.
   *
   * @throws {NotYetVisibleError} the signal aborted first
   */
  waitFor(view: Projection, positions: Positions, signal: AbortSignal): Promise<void>;
  /**
   * Whether a view, as the store has it now, still shows everything up to a position that was waited for. To be asked after documents were
   * read: what was read before may be less. Free where documents never go back; otherwise those who ask at the same time share one read.
   *
   * @throws {DocumentsUnavailableError}
   */
  confirms(view: Projection, positions: Positions): Promise<boolean>;
  /** Calls the listener when the documents have gone back: what was read of them before says nothing about them any more. */
  onSetBack(listener: () => void): void;
  /** Calls the listener with the partition whenever a view gets on, until the result is disposed of. */
  watch(view: Projection, listener: (partition: number) => void): Disposable;
}

/** What freshness is kept of. */
export interface FreshnessOptions {
  readonly documents: Documents;
  readonly views: readonly Projection[];
  /** Told of what failed behind the callers: the catalogue of generations could not be read. It is read again with the next change. */
  readonly onError?: (error: unknown) => void;
}

/** What is known of one generation. */
interface Generation {
  readonly collection: string;
  /** By stream and partition. */
  readonly checkpoints: Map<string, Checkpoint>;
}

/** What is known of one view. */
interface ViewState {
  readonly view: Projection;
  /** What it follows; none if that is not known yet. */
  streams: readonly Stream[];
  live: Generation;
  /** The generation that is to be read as soon as it shows no less. */
  next: Generation | undefined;
  /** What was asked for since the last checkpoint. */
  positions: Positions | undefined;
  readonly listeners: Set<(partition: number) => void>;
  /** Reads the checkpoints of the live generation again. */
  readonly look: () => Promise<readonly Checkpoint[]>;
}

/** Follows the checkpoints of the views until it is disposed of. */
export async function startFreshness({ documents, views, onError }: FreshnessOptions): Promise<Freshness> {
  const catalogue = openCatalogue(documents);
  const progress = createProgress();
  const loading = createTurns(LOADS_AT_ONCE);
  const finding = createTurns(FINDS_AT_ONCE);
  const stopped = new AbortController();
  let anyStream = Promise.withResolvers<void>();
  const states = new Map(views.map((view) => [view.name, stateOf(view)] as const));
  const byCollection = new Map(views.map((view) => [view.collection.name, view]));
  const latestEvents = new Map<string, number>();
  const setBackListeners: (() => void)[] = [];
  /** Whose entry in the catalogue could not be read. */
  const unread = new Set<Projection>();
  /** Counts how often the documents have gone back: what was read before says nothing. */
  let setBacks = 0;
  let streams: readonly Stream[] = [];
  /** What projectors have noted, by stream and partition. */
  const refusals = new Map<string, Checkpoint>();
  let refreshing = Promise.resolve();

  await documents.watchCheckpoints(note, stopped.signal);
  await refresh(views);

  return {
    get streams() {
      return streams;
    },
    async known(signal) {
      readAgain();
      if (streams.length === 0) await untilAborted(anyStream.promise, signal);
      if (streams.length === 0) throw new NotYetVisibleError("no view has been built yet; is a projector running?");
      return streams;
    },
    stream(view) {
      checkAccepted(known(view));
      const [stream] = known(view).streams;
      if (stream === undefined) throw new NotYetVisibleError(`the view ${view.name} has not been built yet; is a projector running?`);
      return stream;
    },
    documents: {
      load: (collection, ...rest) => loading(async () => documents.load(liveCollection(collection), ...rest)),
      find: (query) => finding(async () => documents.find({ ...query, collection: liveCollection(query.collection) })),
    },
    collection: (view) => liveCollection(view.collection.name),
    positions(view) {
      const state = known(view);
      state.positions ??= positionsAt(state.live.checkpoints.values());
      return state.positions;
    },
    latestEventMs: (view) => latestEvents.get(view.name),
    async waitFor(view, positions, signal) {
      readAgain();
      const places = [...inStreams(known(view), positions)].flatMap(([stream, sequences]) =>
        [...sequences].map(([partition, sequence]) => ({ stream, partition, sequence })),
      );
      const pending = await Promise.all(places.map((place) => progress.reached([view.name], place, signal)));
      if (pending.flat().length > 0) throw new NotYetVisibleError(`the view ${view.name} does not show this token's position yet`);
    },
    async confirms(view, positions) {
      if (positions.size === 0 || documents.guarantees.neverGoBack) return true;
      const state = known(view);
      const before = setBacks;
      const found = positionsAt(await state.look());
      return before === setBacks && covers(found, inStreams(state, positions));
    },
    onSetBack: (listener) => void setBackListeners.push(listener),
    watch(view, listener) {
      // Listeners are told apart even if someone passes the same function twice.
      const own = (partition: number): void => listener(partition);
      const { listeners } = known(view);
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await refreshing;
    },
  };

  function stateOf(view: Projection): ViewState {
    const live: Generation = { collection: view.collection.name, checkpoints: new Map() };
    const state: ViewState = {
      view,
      streams: [],
      live,
      next: undefined,
      positions: undefined,
      listeners: new Set(),
      look: sharedRead(() => look(state)),
    };
    return state;
  }

  function known(view: Projection): ViewState {
    const state = states.get(view.name);
    if (state === undefined) throw new TypeError(`the view ${view.name} is not followed`);
    return state;
  }

  function liveCollection(collection: string): string {
    const view = byCollection.get(collection);
    if (view === undefined) return collection;
    const state = known(view);
    checkAccepted(state);
    return state.live.collection;
  }

  function checkAccepted({ view: { name }, streams: followed }: ViewState): void {
    if (refusals.size === 0) return;
    const refusal = refusals.values().find((each) => isRefusal(each) && followed.some(({ id }) => id === each.stream));
    if (refusal === undefined) return;
    throw new RefusedDocumentsError(
      `the view ${name} is not of the events that partition ${refusal.partition} has: the log has lost its end, or was restored, and has gone on otherwise; an operator has to stop the projectors, run headwater views reset, and start the projectors`,
    );
  }

  function noteRefusals(notes: readonly Checkpoint[], areAll: boolean): void {
    if (areAll) refusals.clear();
    for (const each of notes) if (each.collection === REFUSALS) refusals.set(placeOf(each), each);
  }

  function note(checkpoints: readonly Checkpoint[], areAll: boolean): void {
    readAgain();
    noteRefusals(checkpoints, areAll);
    if (areAll) for (const state of states.values()) if (isLess(checkpoints, state.live)) suspect(state);
    const changed = new Set<Projection>();
    for (const checkpoint of checkpoints) {
      if (isParkedRequest(checkpoint)) wake(checkpoint);
      const announced = announcedView(checkpoint);
      const state = announced === undefined ? undefined : states.get(announced);
      if (state !== undefined) changed.add(state.view);
      else for (const each of states.values()) noteIn(each, checkpoint);
    }
    refreshLater([...changed]);
  }

  /** What waited for an operator may be there, or left out, by now. */
  function wake({ partition }: Checkpoint): void {
    for (const { listeners } of states.values()) for (const listener of listeners) listener(partition);
  }

  function refreshLater(wanted: readonly Projection[]): void {
    if (wanted.length === 0) return;
    const refreshed = async (): Promise<void> => {
      try {
        await refresh(wanted);
      } catch (error) {
        for (const view of wanted) unread.add(view);
        onError?.(error);
      }
    };
    refreshing = refreshing.then(refreshed);
  }

  function readAgain(): void {
    const again = [...unread];
    unread.clear();
    refreshLater(again);
  }

  /** A checkpoint that is lower may also have come late: what is there now tells. */
  function suspect(state: ViewState): void {
    if (!documents.guarantees.neverGoBack) state.look().catch(startOver);
  }

  async function look(state: ViewState): Promise<readonly Checkpoint[]> {
    const { live } = state;
    const [before, remembered] = [setBacks, { ...live, checkpoints: new Map(live.checkpoints) }];
    const found = await documents.checkpoints(live.collection);
    if (before !== setBacks) return found;
    if (isLess(found, remembered)) startOver();
    return found;
  }

  /** Forgets everything but which collections to read until the catalogue says it again. */
  function startOver(): void {
    setBacks += 1;
    for (const state of states.values()) {
      state.live = { collection: state.live.collection, checkpoints: new Map() };
      state.next = undefined;
      state.positions = undefined;
    }
    progress.clear();
    latestEvents.clear();
    for (const listener of setBackListeners) listener();
    refreshLater(views);
  }

  /** Reads what views follow, which generations are live, and where they stand. */
  async function refresh(wanted: readonly Projection[]): Promise<void> {
    const before = setBacks;
    noteRefusals(await documents.checkpoints(REFUSALS), true);
    for (const { view: name, streams: followed, live } of await catalogue.load(wanted)) {
      const state = states.get(name);
      if (state === undefined) continue;
      followStreams(state, followed);
      const isRead = state.live.collection === live.collection;
      state.next = isRead ? undefined : { collection: live.collection, checkpoints: new Map() };
      const found = await documents.checkpoints(live.collection);
      // What was read before the documents went back is of no use, and another refresh has been asked for.
      if (before !== setBacks) return;
      for (const checkpoint of found) noteIn(state, checkpoint);
      goOver(state);
    }
  }

  function followStreams(state: ViewState, followed: readonly Stream[]): void {
    state.streams = followed;
    const all = new Map([...states.values()].flatMap((each) => each.streams.map(({ id, partitions }) => [id, { id, partitions }])));
    const had = streams.length > 0;
    streams = [...all.values()];
    if (streams.length > 0) anyStream.resolve();
    else if (had) anyStream = Promise.withResolvers();
  }

  function noteIn(state: ViewState, checkpoint: Checkpoint): void {
    const generation = [state.live, state.next].find((each) => each?.collection === checkpoint.collection);
    if (generation === undefined) return;
    if (isBehind(checkpoint, generation.checkpoints.get(placeOf(checkpoint)))) return suspect(state);
    generation.checkpoints.set(placeOf(checkpoint), checkpoint);
    if (generation === state.live) show(state, checkpoint);
    goOver(state);
  }

  /** Whoever has read the one finds no less in the other. */
  function goOver(state: ViewState): void {
    const { live, next } = state;
    if (next === undefined) return;
    for (const [place, checkpoint] of live.checkpoints) {
      if (checkpoint.sequence > (next.checkpoints.get(place)?.sequence ?? 0)) return;
    }
    state.live = next;
    state.next = undefined;
    for (const checkpoint of next.checkpoints.values()) show(state, checkpoint);
  }

  function show(state: ViewState, checkpoint: Checkpoint): void {
    const { name } = state.view;
    progress.note(name, checkpoint);
    state.positions = undefined;
    const latest = Math.max(latestEvents.get(name) ?? 0, checkpoint.eventTimeMs);
    if (latest > 0) latestEvents.set(name, latest);
    for (const listener of state.listeners) listener(checkpoint.partition);
  }
}

function positionsAt(checkpoints: Iterable<Checkpoint>): Positions {
  const begun = [...checkpoints].filter(({ sequence }) => sequence > 0);
  const byStream = Map.groupBy(begun, ({ stream }) => stream);
  return new Map([...byStream].map(([stream, own]) => [stream, new Map(own.map(({ partition, sequence }) => [partition, sequence]))]));
}

/** Those in the streams that a view follows. Before these are known, it may be any of them. */
function inStreams({ streams: followed }: ViewState, positions: Positions): Positions {
  if (followed.length === 0) return positions;
  return new Map([...positions].filter(([stream]) => followed.some(({ id }) => id === stream)));
}

/** Whether checkpoints that are all there are lack one of a generation, or have one that is lower. */
function isLess(all: readonly Checkpoint[], { collection, checkpoints }: Generation): boolean {
  const found = new Map(all.filter((each) => each.collection === collection).map((each) => [placeOf(each), each]));
  return [...checkpoints].some(([place, { sequence }]) => (found.get(place)?.sequence ?? -1) < sequence);
}

function placeOf({ stream, partition }: Checkpoint): string {
  return `${stream}/${partition}`;
}

function isBehind(checkpoint: Checkpoint, known: Checkpoint | undefined): boolean {
  return known !== undefined && checkpoint.sequence < known.sequence;
}
