/** A process that works without being called: it is joined to a group, answers questions after its health, and starts over after outages. */

import { startGrpcServer } from "../grpc/server.ts";
import { startBackground } from "../platform/background.ts";
import { atPort } from "./at-port.ts";
import type { ProcessContext } from "./live.ts";
import { workThroughOutages } from "./outages.ts";
import type { Started } from "./run.ts";

/** Work that says nothing for so long is stuck, or has a great deal of state to read first. */
const STUCK_AFTER_MS = 30_000;

/** After so long it is ended, for a supervisor to start it again: what was read of the state by then is not read again. */
const END_AFTER_MS = 120_000;

export interface BackgroundOptions extends ProcessContext {
  readonly host: string;
  readonly healthPort: number;
  /** The option that gives it. */
  readonly healthPortOption: string;
  /** The work, until its signal aborts. It is run again after an outage, and must have forgotten everything. */
  readonly run: (signal: AbortSignal, onProgress: () => void) => Promise<void>;
  /** Fails or hangs while what the work needs is away. */
  readonly check: () => Promise<unknown>;
}

export async function startBackgroundProcess({
  host,
  healthPort,
  healthPortOption,
  run,
  check,
  logger,
  stack,
}: BackgroundOptions): Promise<Started> {
  const server = stack.use(
    await atPort(healthPortOption, () => startGrpcServer({ host, port: healthPort, services: [], errorDomain: "headwater", logger })),
  );
  const stuck = Promise.withResolvers<never>();
  let attemptAtMs = performance.now();
  let progressAtMs: number | undefined;
  const attempt = (signal: AbortSignal): Promise<void> => {
    attemptAtMs = performance.now();
    progressAtMs = undefined;
    return run(signal, () => (progressAtMs = performance.now()));
  };
  const work = startBackground((signal) => workThroughOutages(attempt, { logger, signal }));
  stack.defer(async () => {
    // How it ended, `ended` says.
    await Promise.allSettled([work[Symbol.asyncDispose]()]);
  });
  return {
    status: `works; its health is at ${server.address}`,
    check: () => Promise.all([checkProgress(), check()]),
    setServing: server.setServing,
    ended: Promise.race([work.stopped, stuck.promise]),
  };

  async function checkProgress(): Promise<void> {
    if (performance.now() - (progressAtMs ?? attemptAtMs) > END_AFTER_MS)
      stuck.reject(new Error(`it has not got on for ${END_AFTER_MS} ms`));
    if (progressAtMs === undefined) throw new Error("it has not joined its group yet");
    if (performance.now() - progressAtMs > STUCK_AFTER_MS) throw new Error(`it has not got on for ${STUCK_AFTER_MS} ms`);
  }
}
