/** Proves the checker: every planted fault is caught, and what provokes them is not mistaken for one. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Conclusion, conclude } from "./conclude.ts";
import { createLoad } from "./load.ts";
import { type PlantedFault, provokeAll } from "./planted-faults.ts";
import { reachable } from "./run.ts";
import { startServers } from "./servers.ts";
import { database, partitions } from "./setup.ts";
import { startSystem } from "./system.ts";

/** Before and after what provokes a fault. */
const LOAD_MS = 3_000;

/** What a planted fault holds up for good is not waited for as long as what must pass. */
const DRAIN_DEADLINE_MS = 25_000;

/** Runs a system with a planted fault, or with none and everything that provokes one. */
export async function runPlanted(fault: PlantedFault | undefined, seed: number): Promise<Conclusion> {
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
  await delay(LOAD_MS);
  const { setBacks } = load.history;
  const scene = { servers, system, partitions, database, setBacks, busy: new Set<string>(), onPoison: () => undefined };
  const provoke = fault === undefined ? provokeAll : (fault.provoke ?? (() => Promise.resolve()));
  await provoke(scene);
  await delay(LOAD_MS);
  const deadline = fault === undefined ? {} : { drainDeadlineMs: DRAIN_DEADLINE_MS };
  return await conclude({ servers, system, load, poison: 0, progress: () => undefined, ...deadline });
}
