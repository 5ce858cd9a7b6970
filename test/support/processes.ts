/** The processes of `cmd/` as an operator starts them, each alone, on real servers. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";
import { freePorts } from "./ports.ts";

const START_DEADLINE_MS = 180_000;
const RETRY_MS = 20;

const root = join(import.meta.dirname, "..", "..");

export type ProcessName = "command-service" | "command-handler" | "projector" | "query-service" | "gateway";

const portFlags: Readonly<Record<ProcessName, string>> = {
  "command-service": "--command-port",
  "command-handler": "--handler-health-port",
  projector: "--projector-health-port",
  "query-service": "--query-port",
  gateway: "--gateway-port",
};

/** A process that can be ended and started again under its name, port and folder. */
export interface TestProcess extends AsyncDisposable {
  readonly name: ProcessName;
  readonly address: string;
  readonly pid: number;
  /** Resolves with how the process that runs now has ended. */
  readonly exited: Promise<string>;
  /** The last lines that it printed. */
  output(): string;
  start(): Promise<void>;
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Where the servers are. */
export interface Servers {
  readonly brokers: readonly string[];
  readonly mongoUri: string;
}

export interface TestProcessOptions extends Servers {
  /** Absent: one that no other has. */
  readonly instance?: string;
  /** Absent: one that is free. */
  readonly port?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Options of Node, such as a module to load first. */
  readonly nodeArgs?: readonly string[];
  /** What runs the command in its place, such as within a limit. */
  readonly wrap?: (command: readonly string[]) => readonly string[];
  /** How long it may take to start. */
  readonly deadlineMs?: number;
}

let count = 0;

export async function startProcess(name: ProcessName, options: TestProcessOptions): Promise<TestProcess> {
  const folder = await mkdtemp(join(tmpdir(), `headwater-${name}-`));
  const [port = options.port] = options.port === undefined ? await freePorts(1) : [];
  count += 1;
  const environment = {
    HEADWATER_KAFKA_BROKERS: options.brokers.join(","),
    HEADWATER_MONGO_URI: options.mongoUri,
    HEADWATER_INSTANCE: options.instance ?? `${name}-${count}`,
    ...options.environment,
  };
  const command = [process.execPath, ...(options.nodeArgs ?? []), join(root, "cmd", name, "main.ts"), portFlags[name], String(port)];
  const [program = "", ...args] = options.wrap?.(command) ?? command;
  let running: GuardedProcess;
  const start = async (): Promise<void> => {
    running = startGuarded(program, args, folder, environment);
    await untilRunning(name, running, options.deadlineMs ?? START_DEADLINE_MS);
  };
  const remove = async (): Promise<void> => {
    await running.end("SIGTERM");
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    name,
    address: `127.0.0.1:${port}`,
    get pid() {
      return running.pid;
    },
    get exited() {
      return running.exited;
    },
    output: () => running.output(),
    start,
    end: (signal) => running.end(signal),
    [Symbol.asyncDispose]: remove,
  };
}

/** Every process once, at work, and where clients reach it. */
export interface TestSystem extends AsyncDisposable {
  readonly commandAddress: string;
  readonly queryAddress: string;
  readonly processes: Readonly<Record<Exclude<ProcessName, "gateway">, TestProcess>>;
}

export async function startSystem(servers: Servers, options: Omit<TestProcessOptions, keyof Servers> = {}): Promise<TestSystem> {
  await using stack = new AsyncDisposableStack();
  const start = async (name: ProcessName): Promise<TestProcess> => stack.use(await startProcess(name, { ...servers, ...options }));
  // All at once: each says that it serves or works as soon as it can, whichever of the others is there by then.
  const [projector, handler, command, query] = await Promise.all([
    start("projector"),
    start("command-handler"),
    start("command-service"),
    start("query-service"),
  ]);
  const owned = stack.move();
  return {
    commandAddress: command.address,
    queryAddress: query.address,
    processes: { projector, "command-handler": handler, "command-service": command, "query-service": query },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** It says so after its first good check, so it is healthy then. */
async function untilRunning(name: ProcessName, started: GuardedProcess, deadlineMs: number): Promise<void> {
  let hasEnded = false;
  void started.exited.then(() => (hasEnded = true));
  const deadline = Date.now() + deadlineMs;
  while (!new RegExp(`^${name} (serves|works)`, "m").test(started.output())) {
    if (hasEnded) throw new Error(`${name} ended at its start:\n${started.output()}`);
    if (Date.now() > deadline) throw new Error(`${name} did not start in ${deadlineMs} ms:\n${started.output()}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
