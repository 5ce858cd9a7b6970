import { randomUUID } from "node:crypto";
import { afterAll, describe } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { describeLog } from "../../cqrs/testing/log-contract.ts";
import { kafkaConfig } from "./config.ts";
import { openKafkaLog } from "./open.ts";
import { openedAdmin } from "./testing/opened-log.ts";

describe.skipIf(kafka === undefined)("Kafka", () => {
  let server: Promise<KafkaServer> | undefined;
  afterAll(async () => (await server)?.[Symbol.asyncDispose]());

  describeLog("the log on Kafka", async (options) => {
    server ??= startKafka();
    const { brokers } = await server;
    const connect = (partitions = options.partitions) =>
      openKafkaLog({ ...options, brokers, partitions, clientId: `contract-${randomUUID()}`, stateDirectory: null });
    let log = await connect();
    return {
      log,
      connect: () => connect(),
      reopen: async (partitions?: number) => {
        await log[Symbol.asyncDispose]();
        log = await connect(partitions);
        return log;
      },
      trim: async (topic, partition, before) => {
        const admin = await openedAdmin(kafkaConfig({ brokers, clientId: "contract-trim" }));
        // Without having looked at the topic, kafkajs does not find its leaders.
        await admin.fetchTopicOffsets(topic);
        await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
        return log;
      },
      [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
    };
  });
});
