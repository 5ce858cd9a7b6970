/** Proves the checker: every planted fault is caught, and what provokes them is not mistaken for one. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runLargeOrders } from "../capacity/large-orders.ts";
import { type Conclusion, conclude } from "./conclude.ts";
import type { ClientHistory } from "./history.ts";
import { createLoad } from "./load.ts";
import type { PlantedFault } from "./planted-faults.ts";
import { provocations, provokeAll } from "./provocations.ts";
import { reachable, run } from "./run.ts";
import { startServers } from "./servers.ts";
import { database, partitions } from "./setup.ts";
import { startSystem } from "./system.ts";

/** How much load there is before and after what provokes a fault: in accepted commands, since machines differ, and not forever. */
const ACCEPTED = 400;
const WORK_DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 100;

/** How long the first log lives where another one follows. */
const LOAD_MS = 5_000;

/** What a planted fault holds up for good is not waited for as long as what must pass. */
const DRAIN_DEADLINE_MS = 25_000;

/** How many orders are more than a process can hold that holds them all. */
const LARGE_ORDERS = 150;

/** What a system with a planted fault did wrong, or one with none that went through everything that provokes one. */
export async function runPlanted(fault: PlantedFault | undefined, seed: number): Promise<readonly string[]> {
  switch (fault?.under) {
    case "another log":
      return runOnAnotherLog(fault.name, seed);
    case "large orders":
      return (await runLargeOrders({ orders: LARGE_ORDERS, fault: fault.name, progress: () => undefined })).problems;
    case "load":
    case undefined:
      return (await runUnderLoad(fault, seed)).violations;
  }
}

async function runOnAnotherLog(fault: string, seed: number): Promise<readonly string[]> {
  const load = { seed, sessions: 48, commandsPerSecond: 80 };
  const servers = { brokers: 1, members: 1 };
  const { violations } = await run({
    ...load,
    ...servers,
    fault,
    faults: 0,
    eras: 2,
    calmMs: LOAD_MS,
    paceMs: 0,
    only: "",
    progress: () => undefined,
  });
  return violations;
}

async function runUnderLoad(fault: PlantedFault | undefined, seed: number): Promise<Conclusion> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "headwater-chaos-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const servers = stack.use(await startServers({ brokers: 1 }));
  const system = stack.use(
    await startSystem({
      brokers: servers.addresses,
      mongoUri: servers.mongo.uri,
      folder,
      counts: { "command-handler": 2 },
      ...(fault === undefined ? {} : { fault: fault.name }),
    }),
  );
  const load = stack.use(createLoad({ seed }));
  load.begin({ sessions: 48, commandsPerSecond: 80, ...reachable(servers, system) });
  await untilAccepted(load.history);
  const { setBacks } = load.history;
  const scene = { servers, system, partitions, database, setBacks, busy: new Set<string>(), onPoison: () => undefined };
  if (fault === undefined) await provokeAll(scene);
  else if (fault.provoke !== undefined) await provocations[fault.provoke](scene);
  await untilAccepted(load.history);
  const deadline = fault === undefined ? {} : { drainDeadlineMs: DRAIN_DEADLINE_MS };
  return await conclude({ servers, system, load, poison: 0, progress: () => undefined, ...deadline });
}

/** Until so many more commands have been accepted. Where a fault stops everything, time ends it. */
async function untilAccepted({ attempts }: ClientHistory): Promise<void> {
  const count = (): number => attempts.filter(({ result }) => result.kind === "ok").length;
  const wanted = count() + ACCEPTED;
  const endMs = performance.now() + WORK_DEADLINE_MS;
  while (count() < wanted && performance.now() < endMs) await delay(LOOK_EVERY_MS);
}
