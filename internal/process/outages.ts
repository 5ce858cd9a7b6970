/** What processes do while Kafka or MongoDB is away: wait, say so, and go on by themselves. */

import { setTimeout as delay } from "node:timers/promises";
import { DocumentsUnavailableError } from "../cqrs/documents.ts";
import { LogUnavailableError } from "../cqrs/log.ts";
import { untilAborted } from "../cqrs/until-aborted.ts";
import type { Logger } from "../platform/logging.ts";
import { reasonOf } from "./reason.ts";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 2_000;

/** Work that ran so long had recovered: the next failure is a new one. */
const RECOVERED_AFTER_MS = 30_000;

const CHECK_EVERY_MS = 1_000;

/** A check that takes longer counts as failed. Callers' deadlines are mostly longer, so they hear of an outage in time. */
const CHECK_TIMEOUT_MS = 3_000;

export interface Attempts {
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Runs something until it succeeds: while a store is away it is tried again, at growing intervals.
 *
 * @throws the signal's reason when it aborts, and every error that is no outage
 */
export async function throughOutages<Result>(run: (signal: AbortSignal) => Promise<Result>, { logger, signal }: Attempts): Promise<Result> {
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    const startedAtMs = performance.now();
    try {
      return await run(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isOutage(error)) throw error;
      if (performance.now() - startedAtMs > RECOVERED_AFTER_MS) waitMs = FIRST_WAIT_MS;
      logger.warn({ retryInMs: waitMs }, reasonOf(error));
    }
    await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
}

/** The same for work that goes on until its signal aborts. */
export async function workThroughOutages(work: (signal: AbortSignal) => Promise<void>, attempts: Attempts): Promise<void> {
  const { signal } = attempts;
  try {
    await throughOutages(work, attempts);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  }
}

/** The same for what is opened: when the process is told to stop, it waits for no answer any more. */
export function openThroughOutages<Opened>(open: () => Promise<Opened>, attempts: Attempts): Promise<Opened> {
  const { signal } = attempts;
  const stopped = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  return Promise.race([throughOutages(open, attempts), stopped]);
}

export interface HealthOptions {
  /** Fails or hangs while what the process needs is away. */
  readonly check: (signal: AbortSignal) => Promise<unknown>;
  readonly onChange: (isServing: boolean) => void;
  readonly logger: Logger;
}

/** Checks again and again, and tells the first answer and every other one. */
export function watchHealth({ check, onChange, logger }: HealthOptions): AsyncDisposable {
  const stop = new AbortController();
  const watching = watch();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
    },
  };

  async function watch(): Promise<void> {
    let wasServing: boolean | undefined;
    while (!stop.signal.aborted) {
      const failure = await failureOf(check);
      if (stop.signal.aborted) return;
      const isServing = failure === undefined;
      if (isServing !== wasServing) {
        onChange(isServing);
        if (!isServing) logger.warn({ reason: failure }, "not serving");
        else logger.info(wasServing === undefined ? "serving" : "serving again");
      }
      wasServing = isServing;
      await delay(CHECK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  async function failureOf(run: HealthOptions["check"]): Promise<string | undefined> {
    const timeout = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    const signal = AbortSignal.any([timeout, stop.signal]);
    try {
      await untilAborted(run(signal), signal);
      return timeout.aborted ? `no answer within ${CHECK_TIMEOUT_MS} ms` : undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }
}

/** Closing what was used may have failed by the same outage. */
function isOutage(error: unknown): boolean {
  if (error instanceof SuppressedError) return isOutage(error.suppressed) && isOutage(error.error);
  return error instanceof LogUnavailableError || error instanceof DocumentsUnavailableError;
}
