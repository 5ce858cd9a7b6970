/**
 * What the query side knows of its views' progress: lets a query wait for a token's position, bounded and without polling (P4). It also knows
 * which generation of each view to read, and goes over to another only when that shows no less.
 */

import type { Checkpoint, DocumentReader, Documents } from "../documents.ts";
import { createProgress } from "../progress.ts";
import type { Projection } from "../projection.ts";
import { announcedView, openCatalogue } from "../projector/generations.ts";
import type { Sequences, TokenLog } from "./token.ts";

/** A view cannot show a token's position yet; the same read may succeed a moment later. */
export class NotYetVisibleError extends Error {
  override readonly name = "NotYetVisibleError";
}

/** The progress of the views, as the query side knows it. */
export interface Freshness extends AsyncDisposable {
  /** The log that the views follow; undefined until a projector has written its first checkpoint. */
  readonly log: TokenLog | undefined;
  /**
   * The same, waiting for it.
   *
   * @throws {NotYetVisibleError} the signal aborted first
   */
  known(signal: AbortSignal): Promise<TokenLog>;
  /** The documents, in which each view's collection is that of its live generation, whichever that is by now. */
  readonly documents: DocumentReader;
  /** The name of the collection that a view is read from now. */
  collection(view: Projection): string;
  /** The position up to which a view is complete, per partition. It never goes back. */
  sequences(view: Projection): Sequences;
  /** When the newest event that a view shows was recorded, in milliseconds since 1970; undefined if there is none. */
  latestEventMs(view: Projection): number | undefined;
  /**
   * Waits until a view shows everything up to a position.
   *
   * @throws {NotYetVisibleError} the signal aborted first
   */
  waitFor(view: Projection, sequences: Sequences, signal: AbortSignal): Promise<void>;
  /** Calls the listener with the partition whenever a view gets on, until the result is disposed of. */
  watch(view: Projection, listener: (partition: number) => void): Disposable;
}

/** What freshness is kept of. */
export interface FreshnessOptions {
  readonly documents: Documents;
  readonly views: readonly Projection[];
  readonly partitions: number;
  /** Told of what failed behind the callers: the catalogue of generations could not be read. It is read again with the next change. */
  readonly onError?: (error: unknown) => void;
}

/** What is known of one generation. */
interface Generation {
  readonly collection: string;
  /** Per partition. */
  readonly checkpoints: Map<number, Checkpoint>;
}

/** What is known of one view. */
interface ViewState {
  readonly view: Projection;
  live: Generation;
  /** The generation that is to be read as soon as it shows no less. */
  next: Generation | undefined;
  /** What was asked for since the last checkpoint. */
  sequences: Sequences | undefined;
  readonly listeners: Set<(partition: number) => void>;
}

/** Follows the checkpoints of the views until it is disposed of. */
export async function startFreshness({ documents, views, partitions, onError }: FreshnessOptions): Promise<Freshness> {
  const catalogue = openCatalogue(documents);
  const progress = createProgress();
  const stopped = new AbortController();
  const firstCheckpoint = Promise.withResolvers<TokenLog>();
  const states = new Map(views.map((view) => [view.name, stateOf(view)]));
  const byCollection = new Map(views.map((view) => [view.collection.name, view]));
  const latestEvents = new Map<string, number>();
  let log: TokenLog | undefined;
  let refreshing = Promise.resolve();

  await documents.watchCheckpoints(note, stopped.signal);
  await refresh(views);

  return {
    get log() {
      return log;
    },
    async known(signal) {
      if (log !== undefined) return log;
      const aborted = new Promise<undefined>((resolve) => {
        if (signal.aborted) resolve(undefined);
        signal.addEventListener("abort", () => resolve(undefined));
      });
      const found = await Promise.race([firstCheckpoint.promise, aborted]);
      if (found === undefined) throw new NotYetVisibleError("no view has been built yet; is a projector running?");
      return found;
    },
    documents: {
      load: (collection, ids) => documents.load(liveCollection(collection), ids),
      find: (query) => documents.find({ ...query, collection: liveCollection(query.collection) }),
    },
    collection: (view) => liveCollection(view.collection.name),
    sequences(view) {
      const state = known(view);
      state.sequences ??= sequencesOf(view);
      return state.sequences;
    },
    latestEventMs: (view) => latestEvents.get(view.name),
    async waitFor(view, sequences, signal) {
      const waits = [...sequences].map(([partition, sequence]) => progress.reached([view.name], partition, sequence, signal));
      const pending = (await Promise.all(waits)).flat();
      if (pending.length > 0) throw new NotYetVisibleError(`the view ${view.name} does not show this token's position yet`);
    },
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

  function known(view: Projection): ViewState {
    const state = states.get(view.name);
    if (state === undefined) throw new TypeError(`the view ${view.name} is not followed`);
    return state;
  }

  function liveCollection(collection: string): string {
    const view = byCollection.get(collection);
    return view === undefined ? collection : known(view).live.collection;
  }

  function note(checkpoints: readonly Checkpoint[]): void {
    const changed = new Set<Projection>();
    for (const checkpoint of checkpoints) {
      const announced = announcedView(checkpoint);
      const state = announced === undefined ? undefined : states.get(announced);
      if (state !== undefined) changed.add(state.view);
      else for (const each of states.values()) noteIn(each, checkpoint);
    }
    if (changed.size > 0) refreshing = refreshing.then(() => refresh([...changed]).catch((error: unknown) => onError?.(error)));
  }

  /** Reads which generations are live, and where they stand. */
  async function refresh(wanted: readonly Projection[]): Promise<void> {
    for (const { view: name, live } of await catalogue.load(wanted)) {
      const state = states.get(name);
      if (state === undefined) continue;
      const isRead = state.live.collection === live.collection;
      state.next = isRead ? undefined : { collection: live.collection, checkpoints: new Map() };
      for (const checkpoint of await documents.checkpoints(live.collection)) noteIn(state, checkpoint);
      goOver(state);
    }
  }

  function noteIn(state: ViewState, checkpoint: Checkpoint): void {
    const { partition, collection } = checkpoint;
    const generation = [state.live, state.next].find((each) => each?.collection === collection);
    if (generation === undefined || isBehind(checkpoint, generation.checkpoints.get(partition))) return;
    generation.checkpoints.set(partition, checkpoint);
    if (generation === state.live) show(state, checkpoint);
    goOver(state);
  }

  /** Whoever has read the one finds no less in the other. */
  function goOver(state: ViewState): void {
    const { live, next } = state;
    if (next === undefined) return;
    for (const [partition, checkpoint] of live.checkpoints) {
      if (checkpoint.sequence > (next.checkpoints.get(partition)?.sequence ?? 0)) return;
    }
    state.live = next;
    state.next = undefined;
    for (const checkpoint of next.checkpoints.values()) show(state, checkpoint);
  }

  function show(state: ViewState, checkpoint: Checkpoint): void {
    const { name } = state.view;
    const { partition, sequence, eventTimeMs } = checkpoint;
    if (log === undefined) {
      log = { id: checkpoint.logId, partitions };
      firstCheckpoint.resolve(log);
    }
    progress.advance(name, partition, sequence);
    state.sequences = undefined;
    const latest = Math.max(latestEvents.get(name) ?? 0, eventTimeMs);
    if (latest > 0) latestEvents.set(name, latest);
    for (const listener of state.listeners) listener(partition);
  }

  function sequencesOf(view: Projection): Sequences {
    const partitionsNow = Array.from(
      { length: partitions },
      (_, partition) => [partition, progress.sequence(view.name, partition)] as const,
    );
    return new Map(partitionsNow.filter(([, sequence]) => sequence > 0));
  }
}

function stateOf(view: Projection): ViewState {
  const live: Generation = { collection: view.collection.name, checkpoints: new Map() };
  return { view, live, next: undefined, sequences: undefined, listeners: new Set() };
}

function isBehind(checkpoint: Checkpoint, known: Checkpoint | undefined): boolean {
  return known !== undefined && checkpoint.sequence < known.sequence;
}
