import { Kafka, logLevel } from "kafkajs";
import { describe, expect, it } from "vitest";
import { startKafka } from "./kafka-server.ts";
import { kafka } from "./servers.ts";

describe.skipIf(kafka?.kind !== "program")("a broker", () => {
  it("that was killed comes back on its port with what it acknowledged", async () => {
    await using server = await startKafka();
    const client = new Kafka({ brokers: server.brokers, logLevel: logLevel.NOTHING });
    await using connected = new AsyncDisposableStack();
    const admin = client.admin();
    const producer = client.producer();
    connected.defer(() => admin.disconnect());
    connected.defer(() => producer.disconnect());
    await admin.createTopics({ topics: [{ topic: "kept", numPartitions: 1 }], waitForLeaders: true });
    await producer.connect();
    await producer.send({ topic: "kept", acks: -1, messages: [{ value: "1" }, { value: "2" }] });

    const { pid } = server;
    await server.kill();
    await expect(client.producer({ retry: { retries: 0 } }).connect()).rejects.toThrow("ECONNREFUSED");
    await server.restart();
    expect(server.pid).not.toBe(pid);
    await expect.poll(() => admin.fetchTopicOffsets("kept"), { timeout: 30_000 }).toMatchObject([{ partition: 0, offset: "2" }]);
  });
});
