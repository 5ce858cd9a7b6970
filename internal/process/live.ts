/** How every process lives: it says that it runs, ends when it is told to or cannot go on, and never ends without a last line. */

import { ConfigError } from "../platform/config.ts";
import type { Logger } from "../platform/logging.ts";
import { watchHealth } from "./outages.ts";
import { reasonOf } from "./reason.ts";

/** What a process is given to start with. */
export interface ProcessContext {
  readonly logger: Logger;
  /** Aborts when the process is told to stop. */
  readonly signal: AbortSignal;
  /** What is used here is disposed of when the process ends, the last first. */
  readonly stack: AsyncDisposableStack;
}

/** A process that is set up. */
export interface Running {
  /** What is printed after the first good check: what the process does and where. */
  readonly announcement: string;
  /** Fails or hangs while what the process needs is away. */
  readonly check: (signal: AbortSignal) => Promise<unknown>;
  /** Told the first answer and every change; absent if nothing depends on it. */
  readonly setServing?: (isServing: boolean) => void;
  /** Rejects if it cannot go on; absent if nothing can end it. */
  readonly ended?: Promise<void>;
}

export interface Life {
  /** How its last line begins. */
  readonly name: string;
  /** What tells its options, behind the reason why they cannot be used. */
  readonly help: string;
  /** @throws {ConfigError} its options cannot be used */
  configure(): { readonly logger: Logger; start(context: ProcessContext): Promise<Running> };
}

/** A server's calls may take so long to finish, and a little more for what is behind it. */
const CLOSE_TIMEOUT_MS = 40_000;

/** What has failed, or has not quite begun, may never close; its callers hear of it by the end of their connections. */
const CLOSE_BROKEN_TIMEOUT_MS = 5_000;

/** Runs a process until SIGTERM or SIGINT, or until it cannot go on. Returns the exit code: then 1, or 2 for a bad configuration. */
export async function live({ name, help, configure }: Life): Promise<number> {
  const stop = new AbortController();
  const stopped = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<never>();
  const stack = new AsyncDisposableStack();
  let log: Logger | undefined;
  let running: Running | undefined;
  let code = 0;
  const fail = (error: unknown): void => {
    if (code !== 0) return;
    const isWrongCall = error instanceof ConfigError;
    code = isWrongCall ? 2 : 1;
    process.stderr.write(`${name} has ended: ${reasonOf(error)}${isWrongCall ? `\n${help}` : ""}\n`);
  };
  const onSignal = (): void => {
    // Who asks again does not want to wait.
    if (stop.signal.aborted || code !== 0) process.exit(code === 0 ? 1 : code);
    process.stdout.write(`${name} is stopping\n`);
    stop.abort();
    stopped.resolve();
  };
  for (const each of ["SIGTERM", "SIGINT"] as const) process.on(each, onSignal);
  // Nobody has caught it, so nobody knows what still works.
  for (const each of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(each, (error: unknown) => {
      log?.error({ err: error }, "nobody has caught this");
      failed.reject(error);
    });
  }
  failed.promise.catch(fail);
  try {
    const { logger, start } = configure();
    log = logger;
    const starting = start({ logger, signal: stop.signal, stack });
    // Who is told to stop does not wait for it.
    starting.catch(() => undefined);
    running = (await Promise.race([starting, stopped.promise, failed.promise])) ?? undefined;
    if (running !== undefined) {
      stack.use(watchHealth({ check: running.check, onChange: announce(running), logger }));
      await Promise.race([stopped.promise, failed.promise, ...(running.ended === undefined ? [] : [running.ended])]);
    }
  } catch (error) {
    if (!stop.signal.aborted) fail(error);
  }
  // A process that has said its last line must end, whatever does not close.
  const isOrderly = code === 0 && running !== undefined;
  setTimeout(() => process.exit(code), isOrderly ? CLOSE_TIMEOUT_MS : CLOSE_BROKEN_TIMEOUT_MS).unref();
  await stack.disposeAsync().catch(fail);
  return code;
}

/** That it listens is no news to anybody: it says what it does when it can do it. */
function announce({ announcement, setServing }: Running): (isServing: boolean) => void {
  let isAnnounced = false;
  return (isServing) => {
    setServing?.(isServing);
    if (isServing && !isAnnounced) process.stdout.write(announcement);
    isAnnounced ||= isServing;
  };
}
