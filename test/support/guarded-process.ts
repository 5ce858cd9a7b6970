/** A server as a child process that does not outlive the tests, however they end. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** What is kept of what it printed, to show when it does not start. */
const KEPT_LINES = 40;

export interface GuardedProcess {
  readonly pid: number;
  /** Resolves with how it ended, when everything that it printed has been read. */
  readonly exited: Promise<string>;
  /** The last lines that it printed. */
  output(): string;
  /** Sends the signal and waits until the process has ended. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Starts a program, and beside it a guard that kills it and removes its folder once this process is gone. */
export function startGuarded(
  program: string,
  args: readonly string[],
  folder: string,
  environment: Readonly<Record<string, string>> = {},
): GuardedProcess {
  const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  // Not "exit": its last lines may still be on their way then.
  const exited = once(child, "close").then(
    ([code, signal]) => (signal === null ? `with exit code ${code}` : `by ${signal}`),
    (error: unknown) => {
      lines.push(String(error));
      return "before it began";
    },
  );
  const releaseGuard = guard(child.pid, folder);
  void exited.then(releaseGuard);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
    });
  }
  return {
    pid: child.pid ?? 0,
    exited,
    output: () => lines.join("\n"),
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

/** The guard reads a pipe that only this process writes to. A line lets it go; the pipe's end means that this process is gone. */
function guard(pid: number | undefined, folder: string): () => void {
  if (pid === undefined) return () => undefined;
  const script = 'read -r released || { kill -9 "$0"; rm -rf "$1"; }';
  const watcher = spawn("sh", ["-c", script, String(pid), folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  watcher.unref();
  watcher.stdin.on("error", () => undefined);
  return () => void watcher.stdin.end("released\n");
}
