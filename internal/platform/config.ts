/**
 * One configuration for people, containers and clusters: every option is a flag, an environment variable and a line of a file of such
 * variables. Flags go before the environment, the environment before the file, the file before the default.
 */

import { readFileSync } from "node:fs";
import { parseArgs, parseEnv } from "node:util";

/** A configuration that cannot be used; the message names the key and what it takes. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** One option: how its text becomes a value. */
export interface Option<Value> {
  /** One line for --help. */
  readonly help: string;
  /** What it is without being set, as text; undefined: it must be set. */
  readonly default?: string | undefined;
  /** A switch: the flag alone means "true". */
  readonly isSwitch?: true;
  /** No variable and no line of a file sets it: it belongs to one call. */
  readonly isFlagOnly?: true;
  /** @throws {ConfigError} the text is no such value; the message says what it takes */
  readonly parse: (text: string) => Value;
}

/** The options of a process by their flag's name, in the order of --help. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The values of options, by the flag's name. */
export type ValuesOf<Declared extends Options> = {
  readonly [Name in keyof Declared]: Declared[Name] extends Option<infer Value> ? Value : never;
};

export function text(help: string, fallback?: string): Option<string> {
  return {
    help,
    default: fallback,
    parse(value) {
      if (value === "" && fallback !== "") throw new ConfigError("must not be empty");
      return value;
    },
  };
}

/** Several texts, separated by commas. */
export function list(help: string, fallback?: string): Option<readonly string[]> {
  return {
    help,
    default: fallback,
    parse(value) {
      const entries = value.split(",").map((entry) => entry.trim());
      if (value !== "" && entries.includes("")) throw new ConfigError("must be separated by single commas");
      return value === "" ? [] : entries;
    },
  };
}

export function integer(help: string, least: number, most: number, fallback?: number): Option<number> {
  return {
    help,
    default: fallback === undefined ? undefined : String(fallback),
    parse(value) {
      const number = Number(value);
      if (/^-?\d+$/.test(value) && number >= least && number <= most) return number;
      throw new ConfigError(`must be a whole number from ${least} to ${most}`);
    },
  };
}

export function port(help: string, fallback: number): Option<number> {
  return integer(`${help}; 0 takes a free one`, 0, 65_535, fallback);
}

export function oneOf<Choice extends string>(help: string, choices: readonly Choice[], fallback?: Choice): Option<Choice> {
  return {
    help,
    default: fallback,
    parse(value) {
      const choice = choices.find((candidate) => candidate === value);
      if (choice !== undefined) return choice;
      throw new ConfigError(`must be one of ${choices.filter((name) => name !== "").join(", ")}`);
    },
  };
}

/** A switch that is off unless its flag is there. */
export function flag(help: string): Option<boolean> {
  const { parse } = oneOf(help, ["true", "false"]);
  return { help, default: "false", isSwitch: true, parse: (value) => parse(value) === "true" };
}

/** An option of one call, which is no configuration. */
export function flagOnly<Value>(option: Option<Value>): Option<Value> {
  return { ...option, isFlagOnly: true };
}

/** Where the configuration comes from. */
export interface Source {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What a configuration file may set, for this process or another. */
  readonly shared: Options;
}

const CONFIG_FILE = "config";

/** The option of every process, beside its own. */
const configFile = text("file of such variables, NAME=value in each line, such as one that all processes share", "");

/** @throws {ConfigError} a value that cannot be used, one that is missing, or a flag that does not exist */
export function parseConfig<Declared extends Options>(options: Declared, source: Source): ValuesOf<Declared> {
  return valuesOf(options, parseFlags(options, source.args, false).flags, source);
}

/** The same for a command, which may be given more than options. @throws {ConfigError} */
export function parseCommandLine<Declared extends Options>(
  options: Declared,
  source: Source,
): { readonly values: ValuesOf<Declared>; readonly positionals: readonly string[] } {
  const { flags, positionals } = parseFlags(options, source.args, true);
  return { values: valuesOf(options, flags, source), positionals };
}

type Flags = Readonly<Record<string, string>>;

function valuesOf<Declared extends Options>(options: Declared, flags: Flags, { environment, shared }: Source): ValuesOf<Declared> {
  const path = flags[CONFIG_FILE] ?? environment[variableOf(CONFIG_FILE)] ?? "";
  const file = path === "" ? {} : readConfigFile(path, shared);
  const values = Object.entries(options).map(([name, option]) => {
    const configured = option.isFlagOnly ? undefined : (environment[variableOf(name)] ?? file[variableOf(name)]);
    const value = flags[name] ?? configured ?? option.default;
    if (value === undefined) throw new ConfigError(`${keyOf(name, option)} is needed: ${option.help}`);
    return [name, parseValue(name, option, value)];
  });
  return Object.fromEntries(values) as ValuesOf<Declared>;
}

/** Two lines per option, for --help. */
export function describeOptions(options: Options): string {
  return Object.entries({ ...options, [CONFIG_FILE]: configFile })
    .map(([name, option]) => [`--${name.padEnd(width)}${option.help}`, sourceOf(name, option)])
    .map(([first, source]) => (source === "" ? `  ${first}` : `  ${first}\n  ${"".padEnd(width + 2)}${source}`))
    .join("\n");
}

const width = 22;

function sourceOf(name: string, { default: fallback, isFlagOnly, isSwitch }: Option<unknown>): string {
  const variable = isFlagOnly ? "" : variableOf(name);
  const isObvious = fallback === "" || (isFlagOnly && isSwitch);
  const otherwise = fallback === undefined ? "needed" : isObvious ? "" : `default ${fallback}`;
  return [variable, otherwise].filter((part) => part !== "").join(", ");
}

/** The environment variable of an option. */
export function variableOf(name: string): string {
  return `HEADWATER_${name.replaceAll("-", "_").toUpperCase()}`;
}

function keyOf(name: string, { isFlagOnly }: Pick<Option<unknown>, "isFlagOnly"> = {}): string {
  return isFlagOnly ? `--${name}` : `--${name} (${variableOf(name)})`;
}

function parseValue<Value>(name: string, option: Option<Value>, value: string): Value {
  try {
    return option.parse(value);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`${keyOf(name, option)} ${error.message}, not ${JSON.stringify(value)}`);
    throw error;
  }
}

function parseFlags(options: Options, args: readonly string[], allowPositionals: boolean) {
  const declared = Object.entries({ ...options, [CONFIG_FILE]: configFile }).map(
    ([name, { isSwitch }]) => [name, { type: isSwitch ? "boolean" : "string" }] as const,
  );
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: Object.fromEntries(declared), strict: true, allowPositionals });
    const flags: Flags = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
    return { flags, positionals };
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function readConfigFile(path: string, shared: Options): Readonly<Record<string, string | undefined>> {
  const values = readOptionFile(CONFIG_FILE, path, (content) => parseEnv(content));
  const known = new Set(Object.keys(shared).map(variableOf));
  const unknown = Object.keys(values).find((name) => !known.has(name));
  if (unknown !== undefined) throw new ConfigError(`${keyOf(CONFIG_FILE)}: ${path} sets ${unknown}, which no process reads`);
  return values;
}

/** The content of a file that an option names. @throws {ConfigError} it cannot be read */
export function readOptionFile<Content>(name: string, path: string, parse: (content: string) => Content): Content {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(`${keyOf(name)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
