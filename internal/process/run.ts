/** What every process of its own does the same way: it reads its configuration, and lives by it. */

import { describeOptions, type Options, parseConfig, type ValuesOf } from "../platform/config.ts";
import { createLogger, type LogLevel } from "../platform/logging.ts";
import { live, type ProcessContext, type Running } from "./live.ts";
import { allOptions, loggingOptions } from "./options.ts";

/** A process that has started. */
export interface Started extends Omit<Running, "announcement"> {
  /** What it does and where, for the line that says so: after its first good check. */
  readonly status: string;
}

export interface ProcessSpec<Declared extends Options> {
  /** Its folder in cmd/. */
  readonly name: string;
  /** What it does, for --help. */
  readonly about: string;
  readonly options: Declared;
  start(config: ValuesOf<Declared>, context: ProcessContext): Promise<Started>;
}

/** Runs a process until SIGTERM or SIGINT, or until it cannot go on; then the exit code is 1, or 2 for a bad configuration. */
export async function runProcess<Declared extends Options>({ name, about, options, start }: ProcessSpec<Declared>): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(`headwater ${name}: ${about}\n\nUsage: npm run start:${name} -- [options]\n\nOptions:\n`);
    process.stdout.write(`${describeOptions({ ...options, ...loggingOptions })}\n`);
    return;
  }
  process.exitCode = await live({
    name,
    help: `npm run start:${name} -- --help shows all options.`,
    configure() {
      const source = { args, environment: process.env, shared: allOptions };
      // The type of a spread of options that are not known here cannot be told; each parses its own value.
      const config = parseConfig<Options>({ ...options, ...loggingOptions }, source);
      return {
        logger: createLogger({ app: name, level: config["log-level"] as LogLevel }),
        async start(context) {
          const { status, ...running } = await start(config as ValuesOf<Declared>, context);
          return { ...running, announcement: `${name} ${status}\n` };
        },
      };
    },
  });
}
