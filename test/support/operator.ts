/** An operator at his terminal: a command of `headwater` as a process of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const main = join(import.meta.dirname, "..", "..", "cmd", "headwater", "main.ts");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface OperateOptions {
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** A way to end it with Ctrl+C, told once it printed something. */
  readonly onOutput?: (output: string, interrupt: () => void) => void;
}

/** Runs a command to its end. Its input is no terminal. */
export async function operate(args: readonly string[], { input = "", environment = {}, onOutput }: OperateOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...environment } });
  const exited = once(child, "exit");
  child.stdin.on("error", () => undefined).end(input);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    onOutput?.(output, () => child.kill("SIGINT"));
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await exited) as [number | null];
  return { code, stdout, stderr };
}

/** The JSON that a command prints. @throws {Error} it failed, with what it said */
export async function operateJson<Result>(args: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await operate([...args, "--json"]);
  if (code !== 0) throw new Error(`headwater ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Result;
}
