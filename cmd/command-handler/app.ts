import { runCommandHandler } from "../../internal/cqrs/command/command-handler.ts";
import type { DeployedDomain } from "../../internal/cqrs/domain.ts";
import { type Log, RecordsGoneError } from "../../internal/cqrs/log.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { progressOfAll, runTogether } from "../../internal/process/together.ts";

export interface CommandHandlerConfig {
  readonly domains: readonly DeployedDomain[];
  /** A stable name of this instance, such as a pod's. */
  readonly instance: string;
  /** Told every few seconds at least while all domains' handlers get on. */
  readonly onProgress?: () => void;
  /** Told why partitions wait for a newer handler, and that none does. */
  readonly onWaiting?: (reasons: readonly string[]) => void;
}

/** Decides the commands of all domains in its share of the partitions, until the signal aborts. Needs the log only. */
export function runCommandHandlers(
  { domains, instance, onProgress, onWaiting }: CommandHandlerConfig,
  { log, logger }: { readonly log: Log; readonly logger: Logger },
  signal: AbortSignal,
): Promise<void> {
  const waiting = new Map<string, readonly string[]>();
  const progressed = progressOfAll(domains.length, onProgress);
  const run = async (domain: DeployedDomain, ended: AbortSignal): Promise<void> => {
    const running = runCommandHandler({
      log,
      domain,
      group: domain.groups.handler,
      instance,
      onProgress: () => progressed(domain.name),
      signal: ended,
      clock: systemClock,
      onFailed: (error) => logger.warn({ err: error }, "nothing of a transaction was written; deciding again"),
      onWaiting(partitions) {
        const reasons = [...partitions].map(
          ([partition, reason]) => `partition ${partition} of ${domain.name} waits for a newer command handler: ${reason}`,
        );
        for (const reason of reasons) logger.warn(`${reason}; upgrade the command handlers`);
        waiting.set(domain.name, reasons);
        onWaiting?.([...waiting.values()].flat());
      },
    });
    await running.catch((error: unknown) => {
      if (!(error instanceof RecordsGoneError)) throw error;
      throw new RecordsGoneError(`${error.message}; headwater commands skip-lost shows what is lost, and goes on behind it`, {
        cause: error,
      });
    });
  };
  return runTogether(
    domains.map((domain) => (ended) => run(domain, ended)),
    signal,
  );
}
