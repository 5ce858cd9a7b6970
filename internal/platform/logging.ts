import { destination, type Logger, pino, stdTimeFunctions } from "pino";

export type { Logger };

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Logs JSON lines to stderr: stdout belongs to the commands that print results. */
export function createLogger({ app, level }: { readonly app: string; readonly level: LogLevel }): Logger {
  const stderr = destination({ fd: 2, sync: true });
  return pino({ level, base: { app }, timestamp: stdTimeFunctions.isoTime }, stderr);
}
