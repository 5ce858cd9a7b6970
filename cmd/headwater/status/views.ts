/** How far the views are. */

import type { Checkpoint, Documents } from "../../../internal/cqrs/documents.ts";
import { type EventPlace, type EventsOptions, type Lag, lagOf } from "../../../internal/cqrs/event-lag.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";

/** A collection that is filled from the events. */
export interface ViewCollection {
  readonly view: string;
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
  readonly documents: Pick<Documents, "checkpoints">;
  /** The last event of each partition. */
  readonly lasts: readonly (EventPlace | undefined)[];
  readonly nowMs: number;
}

/** Every collection that a projector fills now. */
function viewCollections(): readonly ViewCollection[] {
  return orderViews.map(({ name, collection }) => ({ view: name, collection: collection.name }));
}

export function viewStatuses(options: ViewsOptions): Promise<readonly ViewStatus[]> {
  return Promise.all(viewCollections().map((collection) => viewStatus(collection, options)));
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
