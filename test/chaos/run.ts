/** One run: servers, and era after era of processes, load and faults on them. Each era is judged. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { orderTopics } from "../support/order-domain.ts";
import { type Conclusion, conclude } from "./conclude.ts";
import type { LogDump } from "./dump.ts";
import { positionKey } from "./evidence.ts";
import type { ClientHistory } from "./history.ts";
import { createLoad } from "./load.ts";
import { runNemesis, type Struck } from "./nemesis.ts";
import { type Passage, passages } from "./passages.ts";
import { type ChaosServers, startServers } from "./servers.ts";
import { database, partitions } from "./setup.ts";
import { type ChaosSystem, createSystem } from "./system.ts";

export interface RunOptions {
  readonly brokers: number;
  /** Of the replica set. */
  readonly members: number;
  /** In all eras together. */
  readonly faults: number;
  /** Between two of them the log becomes another one. */
  readonly eras: number;
  readonly seed: number;
  readonly sessions: number;
  readonly commandsPerSecond: number;
  readonly paceMs: number;
  /** Only faults with this in their name. */
  readonly only: string;
  /** How long an era has nothing but load before its first fault. Default: not at all. */
  readonly calmMs?: number;
  /** A planted fault, see `plant.ts`. */
  readonly fault?: string;
  readonly progress: (line: string) => void;
}

/** What an era found out. */
export interface EraReport extends Conclusion {
  readonly struck: readonly Struck[];
  /** How soon all partitions were decided again after a handler died alone. */
  readonly recoveriesMs: readonly number[];
}

export interface Report {
  readonly eras: readonly EraReport[];
  readonly violations: readonly string[];
  readonly durationMs: number;
}

export async function run(options: RunOptions): Promise<Report> {
  const startedAtMs = performance.now();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "headwater-chaos-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const servers = stack.use(await startServers(options));
  const eras: EraReport[] = [];
  for (let era = 0; era < options.eras; era += 1) {
    const passage = passages[(era - 1) % passages.length];
    const before = eras.at(-1);
    eras.push(
      await runEra({ ...options, era, servers, folder, ...(before === undefined || passage === undefined ? {} : { before, passage }) }),
    );
  }
  const violations = eras.flatMap((each, era) =>
    each.violations.map((violation) => (eras.length === 1 ? violation : `${violation} (era ${era + 1})`)),
  );
  return { eras, violations, durationMs: performance.now() - startedAtMs };
}

interface EraOptions extends RunOptions {
  readonly era: number;
  readonly servers: ChaosServers;
  readonly folder: string;
  readonly before?: Conclusion;
  readonly passage?: Passage;
}

async function runEra({ era, servers, folder, before, passage, ...options }: EraOptions): Promise<EraReport> {
  const { progress, seed } = options;
  await using stack = new AsyncDisposableStack();
  const planted = options.fault === undefined ? {} : { fault: options.fault };
  const stage = { servers, folder, seed, progress, ...planted };
  const begun = before === undefined || passage === undefined ? undefined : await passage({ ...stage, before });
  const system = stack.use(begun?.system ?? createSystem({ brokers: servers.addresses, mongoUri: servers.mongo.uri, folder, ...planted }));
  const load = stack.use(begun?.load ?? createLoad({ seed }));
  await startAll(system);
  const violations = [...((await begun?.holdAgainst(system)) ?? [])];
  load.begin({ ...options, ...reachable(servers, system) });
  await delay(options.calmMs ?? 0);
  let poison = begun?.poison ?? 0;
  const { setBacks } = load.history;
  const scene = { servers, system, partitions, database, setBacks, busy: new Set<string>(), onPoison: () => (poison += 1) };
  const faults = Math.ceil(options.faults / options.eras);
  const struck = await runNemesis({
    ...options,
    // Other faults than in the eras before.
    seed: seed + era,
    faults,
    scene,
    onStruck: ({ name, text, atMs }, count) =>
      progress(`${count}/${faults} ${Date.now() - atMs} ms ago: ${name} ${text}; ${countsOf(load.history)}`),
  });
  progress("the faults are over");
  const conclusion = await conclude({ servers, system, load, poison, progress });
  return {
    ...conclusion,
    violations: [...violations, ...conclusion.violations],
    struck,
    recoveriesMs: struck.filter(({ isMeasured }) => isMeasured).map(({ atMs }) => recoveryMs(conclusion.found.log, atMs)),
  };
}

/** Starts all that does not run yet. */
async function startAll(system: ChaosSystem): Promise<void> {
  const kinds = (["projector", "command-handler", "command-service", "query-service"] as const).filter(
    (name) => system.named(name).length === 0,
  );
  await Promise.all(kinds.map((name) => system.start(name)));
}

/** What clients of a system are told. */
export function reachable({ mongo }: ChaosServers, system: ChaosSystem) {
  const addressesOf = (name: "command-service" | "query-service") => system.named(name).map(({ address }) => address);
  return { mongoUri: mongo.uri, database, commandAddresses: addressesOf("command-service"), queryAddresses: addressesOf("query-service") };
}

function countsOf({ attempts }: ClientHistory): string {
  const counts = Map.groupBy(attempts, ({ result }) => result.kind);
  return ["ok", "rejected", "failed", "unknown"].map((kind) => `${counts.get(kind as "ok")?.length ?? 0} ${kind}`).join(", ");
}

/** Until every partition has a slice that was written after a moment. */
function recoveryMs(log: LogDump, sinceMs: number): number {
  const firsts = Array.from({ length: partitions }, (_, partition) => {
    const slice = log
      .records(orderTopics.state.name, partition)
      .find(({ key, timestampMs }) => key === positionKey && timestampMs > sinceMs);
    return (slice?.timestampMs ?? Number.POSITIVE_INFINITY) - sinceMs;
  });
  return Math.max(...firsts);
}
