import type { Documents } from "../../internal/cqrs/documents.ts";
import type { DeployedDomain } from "../../internal/cqrs/domain.ts";
import type { Log } from "../../internal/cqrs/log.ts";
import { runProjector } from "../../internal/cqrs/projector/projector.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import { progressOfAll, runTogether } from "../../internal/process/together.ts";

export interface ProjectorConfig {
  readonly domains: readonly DeployedDomain[];
  /** A stable name of this instance, such as a pod's. */
  readonly instance: string;
  /** How many events one batch takes at most. Default 1,000. */
  readonly batchEvents?: number;
  /** How many events one batch of a build takes at most. Default 250. */
  readonly buildBatchEvents?: number;
  /** Told every few seconds at least while all domains' projectors get on. */
  readonly onProgress?: () => void;
}

/** Keeps the documents of all domains' views for its share of the partitions, until the signal aborts. Needs the log and the documents. */
export function runProjectors(
  { domains, onProgress, ...config }: ProjectorConfig,
  { log, documents }: { readonly log: Log; readonly documents: Documents },
  signal: AbortSignal,
): Promise<void> {
  const progressed = progressOfAll(domains.length, onProgress);
  const run = ({ name, events, topics, views, groups }: DeployedDomain, ended: AbortSignal): Promise<void> =>
    runProjector({
      log,
      documents,
      clock: systemClock,
      events,
      topics,
      views,
      group: groups.projector,
      ...config,
      onProgress: () => progressed(name),
      signal: ended,
    });
  return runTogether(
    domains.map((domain) => (ended) => run(domain, ended)),
    signal,
  );
}
