/** A process of `cmd/` that cannot go on: how it ends. */

import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One that waits instead is ended by then. */
const TIMEOUT_MS = 30_000;

const root = join(import.meta.dirname, "..", "..");

export interface Ending {
  readonly code: number | null;
  readonly output: string;
  readonly lastLine: string;
}

/** Runs a process until it ends by itself. */
export function endOf(name: string, environment: Readonly<Record<string, string>>): Promise<Ending> {
  const anyPort = { HEADWATER_COMMAND_PORT: "0", HEADWATER_QUERY_PORT: "0", HEADWATER_HANDLER_HEALTH_PORT: "0" };
  const options = { cwd: tmpdir(), env: { ...process.env, ...anyPort, ...environment }, timeout: TIMEOUT_MS };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [join(root, "cmd", name, "main.ts")], options, (_, stdout, stderr) => {
      const output = stdout + stderr;
      resolve({ code: child.exitCode, output, lastLine: output.trimEnd().split("\n").at(-1) ?? "" });
    });
  });
}
