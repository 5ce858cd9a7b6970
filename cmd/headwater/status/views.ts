/** How far the views are. */

import type { Checkpoint, Documents } from "../../../internal/cqrs/documents.ts";
import { type EventPlace, type EventsOptions, type Lag, lagOf } from "../../../internal/cqrs/event/event-lag.ts";
import { openCatalogue } from "../../../internal/cqrs/projector/generations.ts";
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
}

export interface ViewsOptions {
  readonly events: EventsOptions;
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
  return Promise.all(collections.map((collection) => viewStatus(collection, options)));
}

async function viewStatus(view: ViewCollection, { events, documents, lasts, nowMs }: ViewsOptions): Promise<ViewStatus> {
  const checkpoints = new Map((await documents.checkpoints(view.collection)).map((checkpoint) => [checkpoint.partition, checkpoint]));
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
  };
}

export function secondsOf(milliseconds: number): number {
  return Math.round(milliseconds / 100) / 10;
}
