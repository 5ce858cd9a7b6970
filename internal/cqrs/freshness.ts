/** What the query side knows of its views' progress: lets a query wait for a token's position, bounded and without polling (P4). */

import type { Checkpoint, Documents } from "./documents.ts";
import { createProgress } from "./progress.ts";
import type { Projection } from "./projection.ts";
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
  /** The position up to which a view is complete, per partition. */
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
}

/** Follows the checkpoints of the views until it is disposed of. */
export async function startFreshness({ documents, views, partitions }: FreshnessOptions): Promise<Freshness> {
  const progress = createProgress();
  const stopped = new AbortController();
  const collections = new Set(views.map((view) => view.collection.name));
  const firstCheckpoint = Promise.withResolvers<TokenLog>();
  /** What was asked for since the last checkpoint of a collection. */
  const known = new Map<string, Sequences>();
  const latestEvents = new Map<string, number>();
  const listeners = new Map([...collections].map((collection) => [collection, new Set<(partition: number) => void>()]));
  let log: TokenLog | undefined;

  await documents.watchCheckpoints(note, stopped.signal);
  for (const collection of collections) note(await documents.checkpoints(collection));

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
    sequences(view) {
      const { name } = view.collection;
      const sequences = known.get(name) ?? sequencesOf(name);
      known.set(name, sequences);
      return sequences;
    },
    latestEventMs: (view) => latestEvents.get(view.collection.name),
    async waitFor(view, sequences, signal) {
      const waits = [...sequences].map(([partition, sequence]) => progress.reached([view.collection.name], partition, sequence, signal));
      const pending = (await Promise.all(waits)).flat();
      if (pending.length > 0) throw new NotYetVisibleError(`the view ${view.name} does not show this token's position yet`);
    },
    watch(view, listener) {
      // Listeners are told apart even if someone passes the same function twice.
      const own = (partition: number): void => listener(partition);
      const { name } = view.collection;
      listeners.get(name)?.add(own);
      return { [Symbol.dispose]: () => void listeners.get(name)?.delete(own) };
    },
    async [Symbol.asyncDispose]() {
      stopped.abort();
    },
  };

  function note(checkpoints: readonly Checkpoint[]): void {
    for (const checkpoint of checkpoints) {
      if (!collections.has(checkpoint.collection)) continue;
      if (log === undefined) {
        log = { id: checkpoint.logId, partitions };
        firstCheckpoint.resolve(log);
      }
      progress.advance(checkpoint.collection, checkpoint.partition, checkpoint.sequence);
      known.delete(checkpoint.collection);
      const latest = Math.max(latestEvents.get(checkpoint.collection) ?? 0, checkpoint.eventTimeMs);
      if (latest > 0) latestEvents.set(checkpoint.collection, latest);
      for (const listener of listeners.get(checkpoint.collection) ?? []) listener(checkpoint.partition);
    }
  }

  function sequencesOf(collection: string): Sequences {
    const partitionsNow = Array.from(
      { length: partitions },
      (_, partition) => [partition, progress.sequence(collection, partition)] as const,
    );
    return new Map(partitionsNow.filter(([, sequence]) => sequence > 0));
  }
}
