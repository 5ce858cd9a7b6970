import type { Admin, Producer } from "kafkajs";
import { describe, expect, it } from "vitest";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";
import { startKafka, startKafkaCluster } from "./kafka-server.ts";
import { kafka } from "./servers.ts";

/** Three brokers start side by side, and a client looks for the one that is away. */
const timeoutMs = 180_000;

describe.skipIf(kafka?.kind !== "program")("Kafka for tests", { timeout: timeoutMs }, () => {
  it("comes back on its port, with what it acknowledged, after it was killed", async () => {
    await using server = await startKafka();
    await using client = await connect(server.brokers);
    await client.admin.createTopics({ topics: [{ topic: "kept", numPartitions: 1 }], waitForLeaders: true });
    await client.producer.send({ topic: "kept", acks: -1, messages: [{ value: "1" }, { value: "2" }] });

    const { pid } = server;
    await server.kill();
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    await server.restart();
    expect(server.pid).not.toBe(pid);
    await expect.poll(() => client.admin.fetchTopicOffsets("kept"), { timeout: 30_000 }).toMatchObject([{ partition: 0, offset: "2" }]);
  });

  it("takes writes as a cluster while one of its three brokers is away", async () => {
    await using cluster = await startKafkaCluster(3);
    await using client = await connect(cluster.brokers);
    // A broker that has not heard of the topic yet would fail the wait for its leaders; a send is repeated.
    await client.admin.createTopics({ topics: [{ topic: "kept", numPartitions: 3 }], waitForLeaders: false });
    const send = () => {
      const messages = [0, 1, 2].map((partition) => ({ partition, value: "1" }));
      return client.producer.send({ topic: "kept", acks: -1, messages });
    };
    await send();
    const [first] = cluster.nodes;
    await first?.kill();
    await send();
    await first?.restart();
    const offsets = await client.admin.fetchTopicOffsets("kept");
    // A send that was repeated after an answer was lost may have written twice.
    expect(offsets.every(({ offset }) => Number(offset) >= 2)).toBe(true);
  });
});

async function connect(brokers: string[]): Promise<AsyncDisposable & { readonly admin: Admin; readonly producer: Producer }> {
  const client = new Kafka({ brokers, logLevel: 0 });
  const [admin, producer] = [client.admin(), client.producer()];
  await Promise.all([admin.connect(), producer.connect()]);
  return { admin, producer, [Symbol.asyncDispose]: async () => void (await Promise.all([admin.disconnect(), producer.disconnect()])) };
}
