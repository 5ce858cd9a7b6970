/** What kafkajs does when partitions move from broker to broker, on a real cluster; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import type { Admin } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { freeze } from "../../../test/support/freeze.ts";
import { type KafkaCluster, startKafkaCluster } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { type Log, LogUnavailableError } from "../../cqrs/log.ts";
import { startAppender } from "./appender.ts";
import { type Cluster, createCluster, type KafkaConfig } from "./kafkajs.ts";
import { joinGroup } from "./membership.ts";
import { ApiKey, startLossyProxy } from "./testing/lossy-proxy.ts";
import { assigned, contents, openedAdmin, openedLog, record } from "./testing/opened-log.ts";

const PARTITIONS = 3;
const MOVES = 9;

describe.skipIf(kafka?.kind !== "program")("leaders that move", () => {
  let cluster: KafkaCluster;
  beforeAll(async () => {
    // A partition is on one broker at a time, so that where it is led can be chosen.
    cluster = await startKafkaCluster(3);
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it("an append of which one partition was never written is not acknowledged, although kafkajs calls it a success", async () => {
    const { log, topics, config } = await openedLog(cluster, PARTITIONS);
    const admin = await openedAdmin(config);
    await lead(admin, { topic: topics.events, partition: 0, nodeId: 1 });
    await lead(admin, { topic: topics.events, partition: 1, nodeId: 2 });
    await using proxy = await startLossyProxy(cluster.nodes[0]?.address ?? "");
    await using appender = await startAppender({ ...config, socketFactory: proxy.socketFactory });
    await appender.append([record(topics.events, "warm", 0), record(topics.events, "warm", 1)]);
    const held = proxy.hold(ApiKey.PRODUCE);
    const append = appender.append([record(topics.events, "moved", 0), record(topics.events, "stayed", 1)]);
    const outcome = append.catch((error: unknown) => error);
    const request = await held;
    // The broker that did not move has answered, and now leads both.
    await vi.waitFor(async () => expect((await log.ends(topics.events))[1]).toBe(2), { timeout: 10_000 });
    await lead(admin, { topic: topics.events, partition: 0, nodeId: 2 });
    request.drop();
    expect(await outcome).toBeInstanceOf(LogUnavailableError);
    expect([...(await contents(log, topics.events, { partition: 0 })).values()]).toEqual(["warm"]);
    await appender.append([record(topics.events, "again", 0), record(topics.events, "again", 1)]);
    expect([...(await contents(log, topics.events, { partition: 0 })).values()]).toEqual(["warm", "again"]);
  });

  it("an append to a leader that stalls goes to the one that is elected in its place", async () => {
    const { log, topics, config } = await openedLog(cluster);
    const admin = await openedAdmin(config);
    await using appender = await startAppender({ ...config, requestTimeout: 1_000 });
    await appender.append([record(topics.events, "before")]);
    const leader = (await leaderOf(admin, topics.events, 0)) ?? NaN;
    const pid = cluster.nodes[leader - 1]?.pid ?? NaN;
    await freeze(pid);
    const [offset = -1] = await appender.append([record(topics.events, "after")]).finally(() => process.kill(pid, "SIGCONT"));
    expect((await contents(log, topics.events)).get(offset)).toBe("after");
  });

  it("a member whose coordinator hangs goes over to the one that takes its place", async () => {
    const { topics, config, group } = await openedLog(cluster);
    const impatient = { ...config, requestTimeout: 1_000 };
    await using membership = await joinGroup(impatient, { group, topic: topics.events, instance: "one" });
    const before = await assigned(membership);
    const pid = cluster.nodes[(await coordinatorOf(config, group)) - 1]?.pid ?? NaN;
    await freeze(pid);
    await expect
      .poll(() => membership.assignment)
      .not.toBe(before)
      .finally(() => process.kill(pid, "SIGCONT"));
  });

  it("every record that is acknowledged while leaders move lies where the acknowledgement says", async () => {
    const { log, topics, config } = await openedLog(cluster, PARTITIONS);
    const admin = await openedAdmin(config);
    let moving = true;
    const writing = [0, 1, 2, 3].map((writer) => write(log, topics.events, writer, () => moving));
    for (let move = 0; move < MOVES; move += 1) {
      await lead(admin, { topic: topics.events, partition: move % PARTITIONS, nodeId: 1 + ((move + Math.floor(move / PARTITIONS)) % 3) });
    }
    moving = false;
    const acknowledged = (await Promise.all(writing)).flat();
    expect(acknowledged.length).toBeGreaterThan(MOVES);
    for (const partition of [0, 1, 2]) {
      const written = await contents(log, topics.events, { partition });
      const expected = acknowledged.filter((place) => place.partition === partition);
      expect(expected.map(({ offset }) => written.get(offset))).toEqual(expected.map(({ key }) => key));
    }
  });
});

interface Place {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
}

/** Appends to all partitions at once, again and again, and returns what was acknowledged. */
async function write(log: Log, topic: string, writer: number, goOn: () => boolean): Promise<readonly Place[]> {
  const acknowledged: Place[] = [];
  for (let round = 0; goOn(); round += 1) {
    const records = [0, 1, 2].map((partition) => record(topic, `${writer}-${round}`, partition));
    const offsets = await log.append(records).catch((error: unknown) => {
      if (error instanceof LogUnavailableError) return [];
      throw error;
    });
    acknowledged.push(...offsets.map((offset, partition) => ({ partition, offset, key: `${writer}-${round}` })));
  }
  return acknowledged;
}

/** Moves a partition to one broker, and waits until all brokers say so. */
async function lead(
  admin: Admin,
  { topic, partition, nodeId }: { readonly topic: string; readonly partition: number; readonly nodeId: number },
): Promise<void> {
  await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition, replicas: [nodeId] }] }] });
  await vi.waitFor(async () => expect(await leaderOf(admin, topic, partition)).toBe(nodeId), { timeout: 30_000 });
}

async function leaderOf(admin: Admin, topic: string, partition: number): Promise<number | undefined> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)?.leader;
}

/** What kafkajs's cluster can do besides. */
interface CoordinatorFinder extends Cluster {
  findGroupCoordinatorMetadata(wanted: { readonly groupId: string }): Promise<{ readonly coordinator: { readonly nodeId: number } }>;
}

/** The broker that keeps a group. */
async function coordinatorOf(config: KafkaConfig, groupId: string): Promise<number> {
  const cluster = createCluster(config) as CoordinatorFinder;
  try {
    await cluster.connect();
    await cluster.refreshMetadata();
    const { coordinator } = await cluster.findGroupCoordinatorMetadata({ groupId });
    return coordinator.nodeId;
  } finally {
    await cluster.disconnect();
  }
}
