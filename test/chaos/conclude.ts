/** The end of an era: quiet, the dumps and the judgement. */

import { MongoClient } from "mongodb";
import { projectorGroup } from "../../internal/cqrs/projector/projector.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { healthOf } from "../support/health.ts";
import { orderGroups, orderTopics } from "../support/order-domain.ts";
import { kafka as kafkaSource } from "../support/servers.ts";
import { hasFollowed } from "./check-views.ts";
import { dumpBatches, dumpDocuments, dumpLog, type LogDump } from "./dump.ts";
import { evidenceOf } from "./evidence.ts";
import type { ClientHistory } from "./history.ts";
import { type Found, type Judgement, judge } from "./judge.ts";
import { withAdmin } from "./kafka-admin.ts";
import type { Load } from "./load.ts";
import type { ChaosServers } from "./servers.ts";
import { database, partitions } from "./setup.ts";
import type { Ending } from "./supervise.ts";
import type { ChaosSystem } from "./system.ts";

/** How long everything that waits may take to be handled when the faults are over. */
const DRAIN_DEADLINE_MS = 120_000;
const LOOK_EVERY_MS = 100;

/** Of what a process printed before it ended. */
const SHOWN_LINES = 5;

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
    const trips = Array.from({ length: partitions }, (_, partition) => load.roundTrip(partition, leftMs()));
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
  const documents = await dumpDocuments(servers.mongo.uri, database);
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

/** Every process that is alive works: it says so itself, and those that share partitions are members of their group. */
async function areWorking(servers: ChaosServers, system: ChaosSystem): Promise<boolean> {
  const healths = await Promise.all(system.processes.map(({ address }) => healthOf(address)));
  if (healths.some((health) => health !== "SERVING")) return false;
  const names = { "command-handler": orderGroups.handler, projector: projectorGroup({ group: orderGroups.projector, views: orderViews }) };
  const { groups } = await withAdmin(servers.addresses, (admin) => admin.describeGroups(Object.values(names)));
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
  return withAdmin(servers.addresses, async (admin) => {
    const ends = await admin.fetchTopicOffsets(topic);
    const [group] = await admin.fetchOffsets({ groupId: orderGroups.handler, topics: [topic] });
    const committed = new Map(group?.partitions.map(({ partition, offset }) => [partition, offset]));
    return ends.every(({ partition, high }) => high === "0" || committed.get(partition) === high);
  });
}

async function isProjected({ mongo }: ChaosServers, log: LogDump): Promise<boolean> {
  await using client = new MongoClient(mongo.uri);
  const found = await client.db(database).collection("_checkpoints").find().toArray();
  const sequences = new Map(found.map((checkpoint) => [`${checkpoint["collection"]}/${checkpoint["partition"]}`, checkpoint["sequence"]]));
  return Array.from({ length: partitions }, (_, partition) => partition).every((partition) => {
    const events = log.records(orderTopics.events.name, partition).length;
    return orderViews.every(({ collection }) => (sequences.get(`${collection.name}/${partition}`) ?? 0) === events);
  });
}

export async function untilTrue(deadlineMs: number, isTrue: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`not in ${Math.round(deadlineMs)} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
