/** The configuration of `headwater dev`: flags, then environment, then defaults; checked before anything starts. */

import { parseArgs } from "node:util";
import { type LogLevel, logLevels } from "../../internal/platform/logging.ts";

export interface DevConfig {
  readonly host: string;
  readonly commandPort: number;
  readonly queryPort: number;
  readonly gatewayPort: number;
  /** Where the data is; null keeps it in memory. */
  readonly directory: string | null;
  readonly partitions: number;
  readonly logLevel: LogLevel;
}

/** A configuration that cannot be used; the message names the key and what it takes. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const devOptions = {
  host: { type: "string", env: "HEADWATER_HOST", default: "127.0.0.1", help: "address to listen on" },
  "command-port": {
    type: "string",
    env: "HEADWATER_COMMAND_PORT",
    default: "50051",
    help: "port of the command service; 0 takes a free one",
  },
  "query-port": { type: "string", env: "HEADWATER_QUERY_PORT", default: "50052", help: "port of the query service; 0 takes a free one" },
  "gateway-port": {
    type: "string",
    env: "HEADWATER_GATEWAY_PORT",
    default: "8080",
    help: "port of the gateway (Connect, gRPC-Web); 0 takes a free one",
  },
  data: { type: "string", env: "HEADWATER_DATA", default: "./data", help: "folder of the log and the documents" },
  "in-memory": { type: "boolean", env: "HEADWATER_IN_MEMORY", default: false, help: "keep everything in memory, until it stops" },
  partitions: { type: "string", env: "HEADWATER_PARTITIONS", default: "8", help: "partitions of a new log; fixed once it exists" },
  "log-level": { type: "string", env: "HEADWATER_LOG_LEVEL", default: "warn", help: "trace, debug, info, warn, error, fatal or silent" },
} as const;

type OptionName = keyof typeof devOptions;

/** @throws {ConfigError} a value that cannot be used, or a flag that does not exist */
export function parseDevConfig(args: readonly string[], environment: Readonly<Record<string, string | undefined>>): DevConfig {
  const values = parseFlags(args);
  const text = (name: OptionName): string => String(values[name] ?? environment[devOptions[name].env] ?? devOptions[name].default);
  const inMemory = oneOf("in-memory", text("in-memory"), ["true", "false"]) === "true";
  return {
    host: text("host"),
    commandPort: port("command-port", text("command-port")),
    queryPort: port("query-port", text("query-port")),
    gatewayPort: port("gateway-port", text("gateway-port")),
    directory: inMemory ? null : text("data"),
    partitions: integer("partitions", text("partitions"), 1, 1024),
    logLevel: oneOf("log-level", text("log-level"), logLevels),
  };
}

/** One line per option, for --help. */
export function describeOptions(): string {
  return Object.entries(devOptions)
    .map(([name, option]) => `  --${name}`.padEnd(18) + `${option.help} (${option.env}, default ${String(option.default)})`)
    .join("\n");
}

function parseFlags(args: readonly string[]): Readonly<Record<string, string | boolean | undefined>> {
  const options = Object.fromEntries(Object.entries(devOptions).map(([name, { type }]) => [name, { type }]));
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function port(name: OptionName, value: string): number {
  return integer(name, value, 0, 65_535);
}

function integer(name: OptionName, value: string, least: number, most: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= least && number <= most) return number;
  throw new ConfigError(`--${name} (${devOptions[name].env}) must be a whole number from ${least} to ${most}, not "${value}"`);
}

function oneOf<Choice extends string>(name: OptionName, value: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  throw new ConfigError(`--${name} (${devOptions[name].env}) must be one of ${choices.join(", ")}, not "${value}"`);
}
