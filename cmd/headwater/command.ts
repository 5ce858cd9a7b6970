/** What all operators' commands do the same way: options, help, errors that name the fix, and exit codes. */

import {
  ConfigError,
  describeOptions,
  flag,
  flagOnly,
  type Options,
  parseCommandLine,
  type ValuesOf,
} from "../../internal/platform/config.ts";
import { allOptions } from "../../internal/process/options.ts";
import { printError } from "./printable.ts";

/** A command as it is found by its name. */
export interface Command {
  readonly help: string;
  /** Returns the exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** Commands that share a first name. They are loaded when they are asked for. */
export interface CommandFamily {
  readonly help: string;
  readonly commands: CommandTable;
}

export type CommandTable = Readonly<Record<string, () => Promise<Command | CommandFamily>>>;

/** What a command was called with. */
export interface Call<Declared extends Options> {
  readonly values: ValuesOf<Declared>;
  readonly positionals: readonly string[];
}

export interface CommandSpec<Declared extends Options> {
  /** All its words, such as "log tail". */
  readonly name: string;
  /** One line. */
  readonly about: string;
  /** What it takes beside options. Default: nothing. */
  readonly takes?: string;
  /** What else its help says. */
  readonly details?: string;
  readonly options: Declared;
  /** Returns the exit code. @throws {ConfigError} it was called wrongly */
  run(call: Call<Declared>): Promise<number>;
}

/** For scripts. */
export const jsonOption = { json: flagOnly(flag("print JSON, for scripts")) };

/** It ends with what it returns; with 1 if it fails, and with 2 if it is called wrongly. */
export function command<Declared extends Options>({ name, about, takes, details, options, run }: CommandSpec<Declared>): Command {
  const usage = ["headwater", name, takes, "[options]"].filter((part) => part !== undefined).join(" ");
  const more = details === undefined ? "" : `${details}\n\n`;
  return {
    help: `headwater ${name}: ${about}\n\nUsage: ${usage}\n\n${more}Options:\n${describeOptions(options)}\n`,
    async run(args) {
      endWithReader();
      try {
        const call = parseCommandLine(options, { args, environment: process.env, shared: allOptions });
        if (takes === undefined && call.positionals.length > 0) throw new ConfigError(`"${call.positionals.join(" ")}" is too much`);
        return await run(call);
      } catch (error) {
        const isWrongCall = error instanceof ConfigError;
        const hint = isWrongCall ? `\nheadwater ${name} --help shows all options.` : "";
        printError(`headwater ${name}: ${error instanceof Error ? error.message : String(error)}${hint}\n`);
        return isWrongCall ? 2 : 1;
      }
    },
  };
}

/** A reader such as `head` that has seen enough is no failure. */
function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : 1);
  });
}
