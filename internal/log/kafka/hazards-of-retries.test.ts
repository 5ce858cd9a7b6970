/** What kafkajs does when it sends again, on a real cluster; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { Kafka } from "./kafkajs.ts";
import { chosenPartition, sendInOrder } from "./produce.ts";
import { ApiKey, startLossyProxy } from "./testing/lossy-proxy.ts";
import { contents, elapsed, openedAdmin, openedLog, record } from "./testing/opened-log.ts";

const PARTITIONS = 3;

/** kafkajs asks any broker for metadata before it sends again; where it asks the slow one, it waits for it by chance. */
const ROUNDS = 8;

/** kafkajs sends again within milliseconds. */
const WATCHED_MS = 300;

describe.skipIf(kafka?.kind !== "program")("sending again", () => {
  let cluster: KafkaCluster;
  beforeAll(async () => {
    cluster = await startKafkaCluster(PARTITIONS, { settings: { "default.replication.factor": 1, "min.insync.replicas": 1 } });
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it("a transaction has nothing twice when one broker fails while the request to another is under way", async () => {
    const { log, topics, config } = await openedLog(cluster, PARTITIONS);
    const admin = await openedAdmin(config);
    await vi.waitFor(async () => {
      const { topics: found } = await admin.fetchTopicMetadata({ topics: [topics.other] });
      expect(new Set(found[0]?.partitions.map(({ leader }) => leader)).size).toBe(PARTITIONS);
    });
    const [slowAddress = "", failingAddress = ""] = cluster.nodes.map(({ address }) => address);
    await using slow = await startLossyProxy(slowAddress);
    await using failing = await startLossyProxy(failingAddress);
    const producer = new Kafka({
      ...config,
      socketFactory: (target) => (slowAddress.endsWith(`:${target.port}`) ? slow : failing).socketFactory(target),
    }).producer({ transactionalId: randomUUID(), idempotent: true, maxInFlightRequests: 1, createPartitioner: chosenPartition });
    await producer.connect();
    const rounds = Array.from({ length: ROUNDS }, (_, round) => `round ${round}`);
    for (const round of rounds) {
      const transaction = await producer.transaction();
      const held = slow.hold(ApiKey.PRODUCE);
      const lost = failing.loseAnswer(ApiKey.PRODUCE);
      const sent = sendInOrder(
        transaction,
        [0, 1, 2].map((partition) => record(topics.other, round, partition)),
      );
      const request = await held;
      await lost;
      await elapsed(WATCHED_MS);
      await request.forward();
      await sent;
      await transaction.commit();
    }
    await producer.disconnect();
    const written = await Promise.all([0, 1, 2].map((partition) => contents(log, topics.other, { partition })));
    for (const keys of written) expect([...keys.values()]).toEqual(rounds);
  });
});
