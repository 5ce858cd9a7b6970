/** The configuration of `headwater dev`. */

import { describeOptions, parseConfig, type Source } from "../../internal/platform/config.ts";
import type { LogLevel } from "../../internal/platform/logging.ts";
import { allOptions } from "../../internal/process/options.ts";

export interface DevConfig {
  readonly host: string;
  readonly commandPort: number;
  readonly queryPort: number;
  readonly gatewayPort: number;
  /** Where the data is; null keeps it in memory. */
  readonly directory: string | null;
  /** Undefined: those that the log has, or 8. */
  readonly partitions: number | undefined;
  readonly logLevel: LogLevel;
}

const { host, "command-port": commandPort, "query-port": queryPort, "gateway-port": gatewayPort, data, partitions } = allOptions;

const devOptions = {
  host,
  "command-port": commandPort,
  "query-port": queryPort,
  "gateway-port": gatewayPort,
  data,
  "in-memory": allOptions["in-memory"],
  partitions,
  // On a screen, only what needs a look.
  "log-level": { ...allOptions["log-level"], default: "warn" },
};

/** @throws {ConfigError} a value that cannot be used, or a flag that does not exist */
export function parseDevConfig(source: Pick<Source, "args" | "environment">): DevConfig {
  const values = parseConfig(devOptions, { ...source, shared: allOptions });
  return {
    host: values.host,
    commandPort: values["command-port"],
    queryPort: values["query-port"],
    gatewayPort: values["gateway-port"],
    directory: values["in-memory"] ? null : values.data,
    partitions: values.partitions === 0 ? undefined : values.partitions,
    logLevel: values["log-level"],
  };
}

/** For --help. */
export function describeDevOptions(): string {
  return describeOptions(devOptions);
}
