/** One run: servers, processes, load and faults; then quiet, the dumps and the judgement. */

import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { projectorGroup } from "../../internal/cqrs/projector/projector.ts";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { orderGroups, orderTopics } from "../../internal/orders/topics.ts";
import { healthOf } from "../support/health.ts";
import { kafka as kafkaSource } from "../support/servers.ts";
import { hasFollowed } from "./check-views.ts";
import { dumpBatches, dumpDocuments, dumpLog, type LogDump } from "./dump.ts";
import { evidenceOf, positionKey } from "./evidence.ts";
import type { ClientHistory } from "./history.ts";
import { type Found, type Judgement, judge } from "./judge.ts";
import { type Load, startLoad } from "./load.ts";
import { runNemesis, type Struck } from "./nemesis.ts";
import { type ChaosServers, startServers } from "./servers.ts";
import { type ChaosSystem, type Ending, startSystem } from "./system.ts";

/** As the processes have it by default. */
export const partitions = 8;

/** And the database. */
const DATABASE = "headwater";

/** How long everything that waits may take to be handled when the faults are over. */
const DRAIN_DEADLINE_MS = 120_000;
const LOOK_EVERY_MS = 100;

/** Of what a process printed before it ended. */
const SHOWN_LINES = 5;

export interface RunOptions {
  readonly brokers: number;
  readonly faults: number;
  readonly seed: number;
  readonly sessions: number;
  readonly commandsPerSecond: number;
  readonly paceMs: number;
  readonly progress: (line: string) => void;
}

/** What a run found out. */
export interface Report extends Conclusion {
  readonly struck: readonly Struck[];
  readonly durationMs: number;
  /** How soon all partitions were decided again after a handler died alone. */
  readonly recoveriesMs: readonly number[];
}

export async function run(options: RunOptions): Promise<Report> {
  const startedAtMs = performance.now();
  await using servers = await startServers(options.brokers);
  await using system = await startSystem({ brokers: servers.addresses, mongoUri: servers.mongo.uri });
  await using load = startLoad({ ...options, ...reachable(servers, system) });
  let poison = 0;
  const scene = { servers, system, partitions, busy: new Set<string>(), onPoison: () => (poison += 1) };
  const struck = await runNemesis({
    ...options,
    scene,
    onStruck: ({ name, text, atMs }, count) =>
      options.progress(`${count}/${options.faults} ${Date.now() - atMs} ms ago: ${name} ${text}; ${countsOf(load.history)}`),
  });
  options.progress("the faults are over");
  const conclusion = await conclude({ servers, system, load, poison, progress: options.progress });
  return {
    ...conclusion,
    struck,
    durationMs: performance.now() - startedAtMs,
    recoveriesMs: struck.filter(({ isMeasured }) => isMeasured).map(({ atMs }) => recoveryMs(conclusion.found.log, atMs)),
  };
}

export interface Concluding {
  readonly servers: ChaosServers;
  readonly system: ChaosSystem;
  readonly load: Load;
  readonly poison: number;
  readonly drainDeadlineMs?: number;
  readonly progress: (line: string) => void;
}

export interface Conclusion extends Judgement {
  readonly history: ClientHistory;
  /** What was judged. */
  readonly found: Found;
  readonly endings: readonly Ending[];
  readonly drainMs: number;
  /** Commands whose outcome nobody knows in the end. */
  readonly unknown: number;
}

/** Ends the load, waits until everything is handled, and judges. */
export async function conclude(concluding: Concluding): Promise<Conclusion> {
  const { servers, system, load, poison, drainDeadlineMs = DRAIN_DEADLINE_MS, progress } = concluding;
  const endsAtMs = performance.now() + drainDeadlineMs;
  const leftMs = (): number => Math.max(1_000, endsAtMs - performance.now());
  const startedAtMs = performance.now();
  const stuck: string[] = [];
  const inTime = async (what: string, until: () => Promise<void>): Promise<void> => {
    await until().catch((error: unknown) => stuck.push(`I18: ${what}: ${error instanceof Error ? error.message : String(error)}`));
  };
  await load.stop();
  await inTime("drain", async () => {
    const trips = Array.from({ length: partitions }, (_, partition) => load.roundTrip(orderIn(partition), leftMs()));
    await Promise.all(trips);
  });
  const drainMs = performance.now() - startedAtMs;
  const unknown = await load.settle(leftMs());
  if (unknown > 0) stuck.push(`I18: ${unknown} commands stay unknown`);
  progress(`drained in ${Math.round(drainMs)} ms; dumping`);
  await inTime("processes that are alive and idle", () => untilTrue(leftMs(), () => areWorking(servers, system)));
  await system.retire("command-service");
  await inTime("handling", () => untilTrue(leftMs(), () => isHandled(servers)));
  await system.retire("command-handler");
  if (kafkaSource?.kind !== "program") throw new Error("the dump needs Kafka's jars");
  const libraries = kafkaSource.path;
  const log = await dumpLog(libraries, servers.addresses);
  await inTime("projection", () => untilTrue(leftMs(), () => isProjected(servers, log)));
  const evidence = evidenceOf(log, partitions);
  // Who follows less than there is, is found by the judge.
  await untilTrue(leftMs(), () => Promise.resolve(hasFollowed(evidence, load.history))).catch(() => undefined);
  await load.stopFollowing();
  await system.retire("projector");
  await system.retire("query-service");
  const documents = await dumpDocuments(servers.mongo.uri, DATABASE);
  const batches: Found["batches"][number][] = [];
  for (const { dataDirectory } of servers.brokers) {
    // One after the other: each is a program of its own.
    for (const { name } of [orderTopics.events, orderTopics.state]) batches.push(await dumpBatches(libraries, dataDirectory, name));
  }
  const found: Found = { log, batches, documents, history: load.history, poison, partitions };
  const { violations, ...judgement } = judge(found);
  const silent = system.endings.filter(({ output }) => !/has ended: /.test(output));
  return {
    ...judgement,
    violations: [...stuck, ...silent.map(describeEnding), ...violations],
    history: load.history,
    found,
    endings: system.endings,
    drainMs,
    unknown,
  };
}

function describeEnding({ instance, how, output }: Ending): string {
  const shown = output.split("\n").slice(-SHOWN_LINES).join("\n  ");
  return `${instance} ended ${how} without a last line, after\n  ${shown}`;
}

/** What clients of a system are told. */
export function reachable({ mongo }: ChaosServers, system: ChaosSystem) {
  return {
    mongoUri: mongo.uri,
    database: DATABASE,
    commandAddresses: system.named("command-service").map(({ address }) => address),
    queryAddresses: system.named("query-service").map(({ address }) => address),
  };
}

function countsOf({ attempts }: ClientHistory): string {
  const counts = Map.groupBy(attempts, ({ result }) => result.kind);
  return ["ok", "rejected", "failed", "unknown"].map((kind) => `${counts.get(kind as "ok")?.length ?? 0} ${kind}`).join(", ");
}

/** Every process that is alive works: it says so itself, and those that share partitions are members of their group. */
async function areWorking(servers: ChaosServers, system: ChaosSystem): Promise<boolean> {
  const healths = await Promise.all(system.processes.map(({ address }) => healthOf(address)));
  if (healths.some((health) => health !== "SERVING")) return false;
  const names = { "command-handler": orderGroups.handler, projector: projectorGroup({ group: orderGroups.projector, views: orderViews }) };
  const { groups } = await withAdmin(servers, (admin) => admin.describeGroups(Object.values(names)));
  return (["command-handler", "projector"] as const).every((name) => {
    // They come in the order of their coordinators.
    const group = groups.find(({ groupId }) => groupId === names[name]);
    const clients = group?.members.map(({ clientId }) => clientId) ?? [];
    const living = system.named(name).map(({ instance }) => `headwater-${name}-${instance}`);
    return group?.state === "Stable" && clients.toSorted().join() === living.toSorted().join();
  });
}

async function isHandled(servers: ChaosServers): Promise<boolean> {
  const topic = orderTopics.commands.name;
  return withAdmin(servers, async (admin) => {
    const ends = await admin.fetchTopicOffsets(topic);
    const [group] = await admin.fetchOffsets({ groupId: orderGroups.handler, topics: [topic] });
    const committed = new Map(group?.partitions.map(({ partition, offset }) => [partition, offset]));
    return ends.every(({ partition, high }) => high === "0" || committed.get(partition) === high);
  });
}

async function isProjected({ mongo }: ChaosServers, log: LogDump): Promise<boolean> {
  await using client = new MongoClient(mongo.uri);
  const found = await client.db(DATABASE).collection("_checkpoints").find().toArray();
  const sequences = new Map(found.map((checkpoint) => [`${checkpoint["collection"]}/${checkpoint["partition"]}`, checkpoint["sequence"]]));
  return Array.from({ length: partitions }, (_, partition) => partition).every((partition) => {
    const events = log.records(orderTopics.events.name, partition).length;
    return orderViews.every(({ collection }) => (sequences.get(`${collection.name}/${partition}`) ?? 0) === events);
  });
}

type Admin = ReturnType<InstanceType<typeof Kafka>["admin"]>;

async function withAdmin<Result>({ addresses }: ChaosServers, ask: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ brokers: [...addresses], clientId: "chaos", logLevel: 0 }).admin();
  await admin.connect();
  try {
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

async function untilTrue(deadlineMs: number, isTrue: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`not in ${Math.round(deadlineMs)} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
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

function orderIn(partition: number): string {
  for (;;) {
    const id = randomUUID();
    if (partitionOf(id, partitions) === partition) return id;
  }
}
