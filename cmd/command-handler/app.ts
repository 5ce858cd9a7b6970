import { runCommandHandler } from "../../internal/cqrs/command/command-handler.ts";
import { type Log, RecordsGoneError } from "../../internal/cqrs/log.ts";
import { orderDomain } from "../../internal/orders/order-domain.ts";
import { orderGroups } from "../../internal/orders/topics.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import type { Logger } from "../../internal/platform/logging.ts";

export interface CommandHandlerConfig {
  /** A stable name of this instance, such as a pod's. */
  readonly instance: string;
  /** Told every few seconds at least while it gets on. */
  readonly onProgress?: () => void;
  /** Told why partitions wait for a newer handler, and that none does. */
  readonly onWaiting?: (reasons: readonly string[]) => void;
}

/** Decides the commands of its share of the partitions, until the signal aborts. Needs the log only. */
export async function runOrderHandler(
  { onWaiting, ...config }: CommandHandlerConfig,
  { log, logger }: { readonly log: Log; readonly logger: Logger },
  signal: AbortSignal,
): Promise<void> {
  const running = runCommandHandler({
    log,
    domain: orderDomain,
    group: orderGroups.handler,
    ...config,
    signal,
    clock: systemClock,
    onFailed: (error) => logger.warn({ err: error }, "nothing of a transaction was written; deciding again"),
    onWaiting(waiting) {
      const reasons = [...waiting].map(([partition, reason]) => `partition ${partition} waits for a newer command handler: ${reason}`);
      for (const reason of reasons) logger.warn(`${reason}; upgrade the command handlers`);
      onWaiting?.(reasons);
    },
  });
  await running.catch((error: unknown) => {
    if (!(error instanceof RecordsGoneError)) throw error;
    throw new RecordsGoneError(`${error.message}; headwater commands skip-lost shows what is lost, and goes on behind it`, {
      cause: error,
    });
  });
}
