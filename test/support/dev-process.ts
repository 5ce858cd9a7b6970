/** `headwater dev` as a process of its own, as a user starts it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_DEADLINE_MS = 120_000;

export interface DevProcess extends AsyncDisposable {
  readonly pid: number;
  readonly commandAddress: string;
  readonly queryAddress: string;
  readonly gatewayAddress: string;
  /** Everything it printed so far. */
  output(): string;
  /** Resolves with its exit code, or null if a signal ended it. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface DevProcessOptions {
  /** The data folder; absent: in memory. */
  readonly directory?: string;
  /** The root of the repository whose code runs; absent: this one. */
  readonly tree?: string;
  /** Fixed ports, so that it comes back where it was; absent: free ones. */
  readonly ports?: readonly [command: number, query: number, gateway: number];
}

export async function startDevProcess({ directory, tree = ".", ports = [0, 0, 0] }: DevProcessOptions = {}): Promise<DevProcess> {
  const [command, query, gateway] = ports;
  const data = directory === undefined ? ["--in-memory"] : ["--data", directory];
  const addresses = ["--command-port", String(command), "--query-port", String(query), "--gateway-port", String(gateway)];
  const args = ["cmd/headwater/main.ts", "dev", ...data, ...addresses];
  const child = spawn(process.execPath, args, { cwd: tree, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  const exited = once(child, "close").then(([code]) => code as number | null);
  await untilStarted(child, lines, exited);
  const output = (): string => lines.join("\n");
  return {
    pid: child.pid ?? 0,
    commandAddress: addressIn(output(), "commands", "grpc"),
    queryAddress: addressIn(output(), "queries", "grpc"),
    gatewayAddress: addressIn(output(), "gateway", "http"),
    output,
    exited,
    async kill(signal) {
      child.kill(signal);
      await exited;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Ports that are free now, for a process that must come back on the same ones. */
export async function freePorts(): Promise<[number, number, number]> {
  const servers = await Promise.all([0, 1, 2].map(() => listening()));
  const [a = 0, b = 0, c = 0] = servers.map(({ port }) => port);
  await Promise.all(servers.map(({ close }) => close()));
  return [a, b, c];
}

/** A new empty folder that is removed with the test. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "headwater-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function untilStarted(child: ChildProcess, lines: string[], exited: Promise<unknown>): Promise<void> {
  const started = Promise.withResolvers<void>();
  const note = (line: string): void => {
    lines.push(line);
    if (line.includes("Ctrl+C stops it")) started.resolve();
  };
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) createInterface(stream).on("line", note);
  const late = setTimeout(() => started.reject(new Error(`headwater dev did not start in time:\n${lines.join("\n")}`)), START_DEADLINE_MS);
  void exited.then(() => started.reject(new Error(`headwater dev ended at its start:\n${lines.join("\n")}`)));
  try {
    await started.promise;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(late);
  }
}

function addressIn(output: string, name: string, scheme: string): string {
  const address = new RegExp(`${name}\\s+${scheme}://(\\S+)`).exec(output)?.[1];
  if (address === undefined) throw new Error(`no address of the ${name} on the start screen:\n${output}`);
  return address;
}

async function listening() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, close: async () => void (await once(server.close(), "close")) };
}
