/** What every process does the same way: reads its configuration, says that it runs, ends cleanly on SIGTERM, and never ends without a last line. */

import { once } from "node:events";
import { ConfigError, describeOptions, type Options, parseConfig, type ValuesOf } from "../platform/config.ts";
import { createLogger, type Logger, type LogLevel } from "../platform/logging.ts";
import { allOptions, loggingOptions } from "./options.ts";
import { watchHealth } from "./outages.ts";

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
  /** What it does and where, for the line that says so: after its first good check. */
  readonly status: string;
  /** Fails or hangs while what the process needs is away. */
  readonly check: (signal: AbortSignal) => Promise<unknown>;
  /** Told the first answer and every change; absent if nothing depends on it. */
  readonly setServing?: (isServing: boolean) => void;
  /** Rejects if it cannot go on; absent if nothing can end it. */
  readonly ended?: Promise<void>;
}

export interface ProcessSpec<Declared extends Options> {
  /** Its folder in cmd/. */
  readonly name: string;
  /** What it does, for --help. */
  readonly about: string;
  readonly options: Declared;
  start(config: ValuesOf<Declared>, context: ProcessContext): Promise<Running>;
}

/** A server's calls may take so long to finish, and a little more for what is behind it. */
const CLOSE_TIMEOUT_MS = 40_000;

/** Runs a process until SIGTERM or SIGINT, or until it cannot go on; then the exit code is 1, or 2 for a bad configuration. */
export async function runProcess<Declared extends Options>({ name, about, options, start }: ProcessSpec<Declared>): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(`headwater ${name}: ${about}\n\nUsage: npm run start:${name} -- [options]\n\nOptions:\n`);
    process.stdout.write(`${describeOptions({ ...options, ...loggingOptions })}\n`);
    return;
  }
  const stop = new AbortController();
  const stack = new AsyncDisposableStack();
  try {
    const source = { args, environment: process.env, shared: allOptions };
    // The type of a spread of options that are not known here cannot be told; each parses its own value.
    const config = parseConfig<Options>({ ...options, ...loggingOptions }, source);
    const logger = createLogger({ app: name, level: config["log-level"] as LogLevel });
    const stopped = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]).then(() => stop.abort());
    const running = await start(config as ValuesOf<Declared>, { logger, signal: stop.signal, stack });
    stack.use(watchHealth({ check: running.check, onChange: announce(running), logger }));
    await Promise.race([stopped, ...(running.ended === undefined ? [] : [running.ended])]);
    process.stdout.write(`${name} is stopping\n`);
  } catch (error) {
    if (!stop.signal.aborted || error !== stop.signal.reason) {
      const hint = error instanceof ConfigError ? `\nnpm run start:${name} -- --help shows all options.` : "";
      process.stderr.write(`${name} has ended: ${error instanceof Error ? error.message : String(error)}${hint}\n`);
      process.exitCode = error instanceof ConfigError ? 2 : 1;
    }
  }
  // What does not close in time is left to the system: a process that has said its last line must end.
  setTimeout(() => process.exit(), CLOSE_TIMEOUT_MS).unref();
  await stack.disposeAsync();

  /** That it listens is no news to anybody: it says what it does when it can do it. */
  function announce({ status, setServing }: Running): (isServing: boolean) => void {
    let isAnnounced = false;
    return (isServing) => {
      setServing?.(isServing);
      if (isServing && !isAnnounced) process.stdout.write(`${name} ${status}\n`);
      isAnnounced ||= isServing;
    };
  }
}
