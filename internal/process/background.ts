/** A process that works without being called: it is joined to a group, answers questions after its health, and starts over after outages. */

import { startGrpcServer } from "../grpc/server.ts";
import { startBackground } from "../platform/background.ts";
import { throughOutages, watchHealth } from "./outages.ts";
import type { ProcessContext, Running } from "./run.ts";

export interface BackgroundOptions extends ProcessContext {
  readonly host: string;
  readonly healthPort: number;
  /** The work, until its signal aborts. It is run again after an outage, and must have forgotten everything. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  /** Fails or hangs while what the work needs is away. */
  readonly check: () => Promise<unknown>;
}

export async function startBackgroundProcess({ host, healthPort, run, check, logger, stack }: BackgroundOptions): Promise<Running> {
  const server = stack.use(await startGrpcServer({ host, port: healthPort, services: [], errorDomain: "headwater", logger }));
  const work = startBackground((signal) =>
    throughOutages(run, { logger, signal }).catch((error: unknown) => ignoreAbortion(signal, error)),
  );
  stack.use(watchHealth({ check, logger, onChange: server.setServing }));
  stack.defer(async () => {
    // How it ended, `ended` says.
    await Promise.allSettled([work[Symbol.asyncDispose]()]);
  });
  return { status: `works; its health is at ${server.address}`, ended: work.stopped };
}

function ignoreAbortion(signal: AbortSignal, error: unknown): void {
  if (!signal.aborted || error !== signal.reason) throw error;
}
