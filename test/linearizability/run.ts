/** Records a history while processes are killed, and has it judged by Porcupine, a linearizability checker that is not ours. */

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { createRandom } from "../chaos/random.ts";
import { startServers } from "../chaos/servers.ts";
import type { SupervisedName } from "../chaos/supervise.ts";
import { type ChaosSystem, startSystem } from "../chaos/system.ts";
import { findTool } from "../support/tools.ts";
import { type Operation, recordHistory } from "./record.ts";

/** The judge, or undefined where it is missing: `npm run tools` builds it, with Go. */
export const linearizability = findTool("linearizability");

export interface RunOptions {
  readonly seed: number;
  /** It goes on until there are so many calls, and so many processes have been killed. */
  readonly calls: number;
  readonly kills: number;
  readonly clients: number;
}

/** What is killed, again and again. */
const victims: readonly SupervisedName[] = ["command-handler", "command-handler", "projector", "command-service"];
const BETWEEN_KILLS_MS = { min: 1_500, max: 5_000 } as const;

/** The history of a run under kills. */
export async function recordUnderKills({ seed, calls, kills, clients }: RunOptions): Promise<readonly Operation[]> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "headwater-linearizability-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const servers = stack.use(await startServers({ brokers: 1 }));
  const { addresses: brokers, mongo } = servers;
  const system = stack.use(await startSystem({ brokers, mongoUri: mongo.uri, folder, counts: { "command-handler": 2 } }));
  const enough = new AbortController();
  let [killed, called] = [0, 0];
  const look = (): void => {
    if (killed >= kills && called >= calls) enough.abort();
  };
  const onCall = (count: number): void => {
    called = count;
    look();
  };
  const onKill = (): void => {
    killed += 1;
    look();
  };
  const addressesOf = (name: SupervisedName) => system.named(name).map(({ address }) => address);
  const addresses = { commandAddresses: addressesOf("command-service"), queryAddresses: addressesOf("query-service") };
  const { signal } = enough;
  const recorded = recordHistory({ ...addresses, seed, clients, signal, onCall });
  const [history] = await Promise.all([recorded, killUntil(signal, system, seed, onKill)]);
  return history;
}

export interface Verdict {
  readonly isLinearizable: boolean;
  readonly output: string;
}

/** Asks the judge. @throws {Error} it could not judge */
export async function judgeHistory(history: readonly Operation[], path: string): Promise<Verdict> {
  if (linearizability === undefined) throw new Error("the judge is missing: npm run tools builds it");
  await writeFile(path, history.map((operation) => `${JSON.stringify(operation)}\n`).join(""));
  const judge = spawn(linearizability, [path, `${path}.html`], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve) => judge.on("close", resolve));
  const [output, errors, code] = await Promise.all([text(judge.stdout), text(judge.stderr), ended]);
  if (code !== 0 && code !== 1) throw new Error(`the judge ended with ${code}: ${errors}`);
  return { isLinearizable: code === 0, output: output.trim() };
}

async function killUntil(signal: AbortSignal, system: ChaosSystem, seed: number, onKill: () => void): Promise<void> {
  const random = createRandom(seed);
  while (!signal.aborted) {
    await delay(random.integer(BETWEEN_KILLS_MS.min, BETWEEN_KILLS_MS.max));
    const victim = random.pick(system.named(random.pick(victims)));
    // One at a time: on a busy machine a start takes long, and nobody would be there.
    if (signal.aborted || system.processes.some(({ isUp }) => !isUp)) continue;
    await victim.kill("SIGKILL");
    onKill();
  }
}
