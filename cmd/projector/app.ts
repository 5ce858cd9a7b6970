import type { Documents } from "../../internal/cqrs/documents.ts";
import type { Log } from "../../internal/cqrs/log.ts";
import { runProjector } from "../../internal/cqrs/projector/projector.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { orderGroups, orderTopics } from "../../internal/orders/topics.ts";
import { systemClock } from "../../internal/platform/clock.ts";

export interface ProjectorConfig {
  /** A stable name of this instance, such as a pod's. */
  readonly instance: string;
  /** How many events one batch takes at most. Default 1,000. */
  readonly batchEvents?: number;
  /** How many events one batch of a build takes at most. Default 250. */
  readonly buildBatchEvents?: number;
  /** Told every few seconds at least while it gets on. */
  readonly onProgress?: () => void;
}

/** Keeps the documents of all views for its share of the partitions, until the signal aborts. Needs the log and the documents. */
export function runOrderProjector(
  config: ProjectorConfig,
  { log, documents }: { readonly log: Log; readonly documents: Documents },
  signal: AbortSignal,
): Promise<void> {
  return runProjector({
    log,
    documents,
    clock: systemClock,
    events: orderEvents,
    topics: orderTopics,
    views: orderViews,
    group: orderGroups.projector,
    ...config,
    signal,
  });
}
