/** How far the views are. */

import type { Checkpoint, Documents } from "../../../internal/cqrs/documents.ts";
import { type EventPlace, type EventsOptions, type Lag, lagOf } from "../../../internal/cqrs/event/event-lag.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import type { ReadableLog } from "../../../internal/cqrs/present-records.ts";
import { GapError, REBUILD } from "../../../internal/cqrs/projector/gap.ts";
import { openCatalogue } from "../../../internal/cqrs/projector/generations.ts";
import { provePlace } from "../../../internal/cqrs/projector/prove-place.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";

/** A collection that is filled from the events. */
export interface ViewCollection {
  readonly view: string;
  /** Queries read the live one. */
  readonly generation: "live" | "previous" | "building";
  readonly collection: string;
}

export interface ViewStatus extends ViewCollection {
  /** Behind in all partitions together. */
  readonly lagEvents: number;
  /** Behind in the partition where it is farthest behind. */
  readonly lagSeconds: number;
  /** Per partition. */
  readonly lags: readonly Lag[];
  /** Why its documents are not those of the log, with what to do. Absent: they are. */
  readonly problem?: string;
}

export interface ViewsOptions {
  readonly events: EventsOptions & { readonly log: ReadableLog & Pick<Log, "topicId"> };
  readonly documents: Pick<Documents, "checkpoints" | "load" | "write">;
  /** The last event of each partition. */
  readonly lasts: readonly (EventPlace | undefined)[];
  readonly nowMs: number;
}

/** Every collection that a projector fills now. */
async function viewCollections(documents: ViewsOptions["documents"]): Promise<readonly ViewCollection[]> {
  const entries = await openCatalogue(documents).load(orderViews);
  return entries.flatMap(({ view, ...generations }) =>
    (["live", "previous", "building"] as const).flatMap((generation) => {
      const collection = generations[generation]?.collection;
      return collection === undefined ? [] : [{ view, generation, collection }];
    }),
  );
}

export async function viewStatuses(options: ViewsOptions): Promise<readonly ViewStatus[]> {
  const collections = await viewCollections(options.documents);
  const prove = problems(options.events);
  return Promise.all(collections.map((collection) => viewStatus(collection, options, prove)));
}

type Prove = (checkpoint: Checkpoint) => Promise<string | undefined>;

/** Says of checkpoints why they are not of this log. Views that stand at the same place are proven together. */
function problems({ log, topic }: ViewsOptions["events"]): Prove {
  const stream = log.topicId(topic);
  const proven = new Map<string, Promise<string | undefined>>();
  return ({ stream: followed, partition, nextOffset, proof }) => {
    if (followed !== stream) return Promise.resolve(`it follows another stream of events (${followed}): ${REBUILD}`);
    const place = `${partition}/${nextOffset}/${proof}`;
    const known = proven.get(place) ?? provePlace(log, { topic, partition, nextOffset, proof }).then(() => undefined, gapOf);
    proven.set(place, known);
    return known;
  };
}

function gapOf(error: unknown): string {
  if (!(error instanceof GapError)) throw error;
  return error.message;
}

async function viewStatus(view: ViewCollection, { events, documents, lasts, nowMs }: ViewsOptions, prove: Prove): Promise<ViewStatus> {
  const found = await documents.checkpoints(view.collection);
  const checkpoints = new Map(found.map((checkpoint) => [checkpoint.partition, checkpoint]));
  const problem = (await Promise.all(found.map(prove))).find((each) => each !== undefined);
  const lags = await Promise.all(
    lasts.map((last, partition) => {
      const checkpoint: Checkpoint | undefined = checkpoints.get(partition);
      return lagOf(events, { partition, last, checkpoint, nowMs });
    }),
  );
  return {
    ...view,
    lagEvents: lags.reduce((sum, lag) => sum + lag.events, 0),
    lagSeconds: secondsOf(Math.max(0, ...lags.map(({ milliseconds }) => milliseconds))),
    lags,
    ...(problem === undefined ? {} : { problem }),
  };
}

export function secondsOf(milliseconds: number): number {
  return Math.round(milliseconds / 100) / 10;
}
