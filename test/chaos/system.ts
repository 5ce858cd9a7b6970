/** The processes under a supervisor that starts again whatever ends, as a cluster would. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { untilAborted } from "../../internal/cqrs/until-aborted.ts";
import { type ProcessName, type Servers, startProcess, type TestProcess } from "../support/processes.ts";
import { faultVariable } from "./planted-faults.ts";
import { diedAtPoint, type Order, orderFileVariable } from "./points.ts";

/** How many of each there are. */
export const counts = { "command-service": 2, "command-handler": 3, projector: 2, "query-service": 2 } as const satisfies Partial<
  Record<ProcessName, number>
>;

export type SupervisedName = keyof typeof counts;

/** A process that ended without being killed, and its last words. */
export interface Ending {
  readonly instance: string;
  /** By which signal, or with which exit code. */
  readonly how: string;
  readonly output: string;
}

export interface SupervisedProcess {
  readonly name: SupervisedName;
  readonly instance: string;
  readonly address: string;
  readonly isUp: boolean;
  readonly pid: number;
  /** Ends it; the supervisor starts it again. */
  kill(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Kills it and takes its local state away. */
  killWithoutState(): Promise<void>;
  /** Stops it for so long, as a machine that hangs; it does not know of it. */
  freeze(milliseconds: number): Promise<void>;
  /** Tells it what to do at a point. Resolves when it has done it, with false if the signal aborts first. */
  order(order: Order, signal: AbortSignal): Promise<boolean>;
}

export interface ChaosSystem extends AsyncDisposable {
  readonly processes: readonly SupervisedProcess[];
  named(name: SupervisedName): readonly SupervisedProcess[];
  /** Those that ended by themselves. */
  readonly endings: readonly Ending[];
  /** Ends those of a kind, for good. */
  retire(name: SupervisedName): Promise<void>;
}

export interface ChaosSystemOptions extends Servers {
  /** A planted fault, see `plant.ts`. */
  readonly fault?: string;
  readonly counts?: Partial<Record<SupervisedName, number>>;
}

const RESTART_AFTER_MS = 300;
const LOOK_EVERY_MS = 20;

export async function startSystem(options: ChaosSystemOptions): Promise<ChaosSystem> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "headwater-chaos-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const endings: Ending[] = [];
  const start = async (name: SupervisedName): Promise<readonly Supervised[]> => {
    const many = options.counts?.[name] ?? counts[name];
    const instances = Array.from({ length: many }, (_, index) => `${name}-${index}`);
    const started = instances.map((instance) => supervise(name, instance, folder, options, endings));
    const settled = await Promise.allSettled(started);
    for (const each of settled) if (each.status === "fulfilled") stack.defer(() => each.value.retire());
    return Promise.all(started);
  };
  // One projector first: two would create the same indexes at once, and the query services need them.
  const projectors = await start("projector");
  const others = await Promise.all([start("command-handler"), start("command-service"), start("query-service")]);
  const processes = [...projectors, ...others.flat()];
  const owned = stack.move();
  return {
    processes,
    endings,
    named: (name) => processes.filter((process) => process.name === name),
    async retire(name) {
      await Promise.all(processes.filter((process) => process.name === name).map((process) => process.retire()));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Supervised extends SupervisedProcess {
  retire(): Promise<void>;
}

async function supervise(
  name: SupervisedName,
  instance: string,
  folder: string,
  { fault, brokers, mongoUri }: ChaosSystemOptions,
  endings: Ending[],
): Promise<Supervised> {
  const orderFile = join(folder, `${instance}.json`);
  const state = join(folder, `${instance}.state`);
  await writeFile(orderFile, "");
  const modules = fault === undefined ? ["failpoints.ts"] : ["failpoints.ts", "plant.ts"];
  const process_ = await startProcess(name, {
    brokers,
    mongoUri,
    instance,
    nodeArgs: modules.flatMap((module) => ["--import", join(import.meta.dirname, module)]),
    environment: {
      [orderFileVariable]: orderFile,
      HEADWATER_STATE: state,
      ...(fault === undefined ? {} : { [faultVariable]: fault }),
    },
  });
  let isRetired = false;
  let isUp = true;
  /** The processes that somebody ends. */
  const doomed = new Set<number>();
  const watching = watch();

  return {
    name,
    instance,
    address: process_.address,
    get isUp() {
      return isUp;
    },
    get pid() {
      return process_.pid;
    },
    async kill(signal) {
      doomed.add(process_.pid);
      await process_.end(signal);
    },
    async killWithoutState() {
      doomed.add(process_.pid);
      await process_.end("SIGKILL");
      await rm(state, { recursive: true, force: true });
    },
    async freeze(milliseconds) {
      const { pid } = process_;
      signalTo(pid, "SIGSTOP");
      await delay(milliseconds);
      signalTo(pid, "SIGCONT");
    },
    async order(order, signal) {
      const { pid, exited } = process_;
      await writeFile(orderFile, JSON.stringify(order));
      signalTo(pid, "SIGUSR2");
      const done = order.stallMs === null ? exited.then(() => true) : stalled(pid);
      const isDone = (await untilAborted(done, signal)) ?? false;
      await writeFile(orderFile, "");
      if (!isDone && process_.pid === pid) signalTo(pid, "SIGUSR2");
      return isDone;
    },
    async retire() {
      isRetired = true;
      await endGently(process_);
      await watching;
      await process_[Symbol.asyncDispose]();
    },
  };

  async function watch(): Promise<void> {
    while (!isRetired) {
      const { pid } = process_;
      const how = await process_.exited;
      if (isRetired) return;
      isUp = false;
      const output = process_.output();
      // Also one that was told to die and called off too late says so.
      if (!doomed.has(pid) && !output.split("\n").includes(diedAtPoint)) endings.push({ instance, how, output });
      await delay(RESTART_AFTER_MS);
      if (isRetired) return;
      // Where it does not start in time it is ended, and then started anew.
      await process_.start().then(
        () => (isUp = true),
        () => process_.end("SIGKILL"),
      );
    }
  }

  /** It takes the order away before it obeys. */
  async function stalled(pid: number): Promise<boolean> {
    while (process_.pid === pid && (await readFile(orderFile, "utf8")) !== "") await delay(LOOK_EVERY_MS);
    return process_.pid === pid;
  }
}

/** A process that is stopped or hangs is killed in the end. */
async function endGently(process_: TestProcess): Promise<void> {
  signalTo(process_.pid, "SIGCONT");
  const killer = setTimeout(() => void process_.end("SIGKILL"), 15_000);
  await process_.end("SIGTERM");
  clearTimeout(killer);
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
