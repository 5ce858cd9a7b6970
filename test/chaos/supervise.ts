/** One process under a supervisor that starts it again whenever it ends, as a cluster would. */

import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { untilAborted } from "../../internal/cqrs/until-aborted.ts";
import { type ProcessName, type Servers, startProcess, type TestProcess } from "../support/processes.ts";
import { faultVariable } from "./planted-faults.ts";
import { diedAtPoint, type Order, orderFileVariable } from "./points.ts";

export type SupervisedName = Exclude<ProcessName, "gateway">;

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
  /** Kills it, and does something to the folder of its local state before it is started again. */
  killAndChange(change: (stateFolder: string) => Promise<void>): Promise<void>;
  /** Stops it for so long, as a machine that hangs; it does not know of it. */
  freeze(milliseconds: number): Promise<void>;
  /** Tells it what to do at a point. Resolves when it has done it, with false if the signal aborts first. */
  order(order: Order, signal: AbortSignal): Promise<boolean>;
}

export interface Supervised extends SupervisedProcess {
  /** Ends it gently, and leaves it ended until the returned function is called. */
  hold(): Promise<() => void>;
  /** Ends it for good. */
  retire(): Promise<void>;
}

export interface SuperviseOptions extends Servers {
  readonly name: SupervisedName;
  readonly instance: string;
  /** Keeps the local state of all instances, also after they have ended. */
  readonly folder: string;
  /** A planted fault, see `plant.ts`. */
  readonly fault?: string;
  /** Told of every process that ended by itself. */
  readonly onEnded: (ending: Ending) => void;
}

const RESTART_AFTER_MS = 300;
const LOOK_EVERY_MS = 20;
const GENTLE_END_MS = 15_000;

export async function supervise({ name, instance, folder, fault, onEnded, ...servers }: SuperviseOptions): Promise<Supervised> {
  const orderFile = join(folder, `${instance}.json`);
  const state = join(folder, `${instance}.state`);
  await writeFile(orderFile, "");
  const planted = plantedIn(fault);
  const process_ = await startProcess(name, {
    ...servers,
    instance,
    nodeArgs: ["--import", join(import.meta.dirname, "failpoints.ts"), ...planted.nodeArgs],
    environment: {
      [orderFileVariable]: orderFile,
      HEADWATER_STATE: state,
      ...planted.environment,
    },
  });
  let isRetired = false;
  let isUp = true;
  /** What must be over before it is started again. */
  let changing: Promise<void> = Promise.resolve();
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
    async killAndChange(change) {
      doomed.add(process_.pid);
      changing = process_.end("SIGKILL").then(() => change(state));
      await changing;
    },
    async freeze(milliseconds) {
      const { pid } = process_;
      signalTo(pid, "SIGSTOP");
      await delay(milliseconds);
      signalTo(pid, "SIGCONT");
    },
    async order(order, signal) {
      // One that is just starting does not know the signal yet, and would end by it.
      while (!isUp && !signal.aborted) await delay(LOOK_EVERY_MS);
      if (signal.aborted) return false;
      const { pid, exited } = process_;
      await writeFile(orderFile, JSON.stringify(order));
      if (isUp && process_.pid === pid) signalTo(pid, "SIGUSR2");
      const done = order.stallMs === null ? exited.then(() => true) : stalled(pid);
      const isDone = (await untilAborted(done, signal)) ?? false;
      await writeFile(orderFile, "");
      if (!isDone && isUp && process_.pid === pid) signalTo(pid, "SIGUSR2");
      return isDone;
    },
    async hold() {
      const held = Promise.withResolvers<void>();
      changing = held.promise;
      // It may just be starting: then the next one is ended too.
      do {
        doomed.add(process_.pid);
        await endGently(process_);
      } while (isUp);
      return () => held.resolve();
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
      isUp = false;
      if (isRetired) return;
      const output = process_.output();
      // Also one that was told to die and called off too late says so.
      if (!doomed.has(pid) && !output.split("\n").includes(diedAtPoint)) onEnded({ instance, how, output });
      await delay(RESTART_AFTER_MS);
      await changing;
      if (isRetired) return;
      // Where it does not start in time it is ended, and then started again.
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

/** How a process is started so that it has a planted fault. */
export function plantedIn(fault: string | undefined) {
  if (fault === undefined) return { nodeArgs: [], environment: {} };
  return { nodeArgs: ["--import", join(import.meta.dirname, "plant.ts")], environment: { [faultVariable]: fault } };
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

/** A process that is stopped or hangs is killed in the end. */
async function endGently(process_: TestProcess): Promise<void> {
  signalTo(process_.pid, "SIGCONT");
  const killer = setTimeout(() => void process_.end("SIGKILL"), GENTLE_END_MS);
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
