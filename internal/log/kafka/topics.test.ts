import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { LogRefusedError, type Topic } from "../../cqrs/log.ts";
import { kafkaConfig } from "./config.ts";
import { openedAdmin, openedLog } from "./testing/opened-log.ts";
import { ensureTopics } from "./topics.ts";

describe.skipIf(kafka === undefined)("the topics of a log", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("are created with settings that are right, with the number of partitions that was asked for, or with that of those that are there", async () => {
    const { config, topics } = names(server);
    const { topicIds, ...first } = await ensureTopics(config, { ...created, topics: topics.slice(0, 2), partitions: 5 });
    expect(first.partitions).toBe(5);
    expect(await ensureTopics(config, { ...created, topics })).toMatchObject({ partitions: 5 });
    expect(await ensureTopics(config, { ...created, topics, partitions: 5 })).toMatchObject({ partitions: 5 });
    expect((await ensureTopics(config, { ...created, topics, mayCreate: false })).topicIds.get(topics[0].name)).toBe(
      topicIds.get(topics[0].name),
    );
    const other = names(server);
    expect(await ensureTopics(config, { ...created, topics: other.topics })).toMatchObject({ partitions: 8 });
  });

  it("are refused with another number of partitions than theirs, whoever is told", async () => {
    const { config, topics } = names(server);
    await ensureTopics(config, { ...created, topics, partitions: 4 });
    for (const partitions of [3, 8]) {
      const refused = ensureTopics(config, { ...created, topics, partitions });
      await expect(refused).rejects.toThrow(`the topics have 4 partitions, not ${partitions}`);
      await expect(refused).rejects.toThrow(LogRefusedError);
    }
  });

  it("are refused when partitions were added to some of them, which who only reads is told", async () => {
    const { config, topics } = names(server);
    const { topicIds } = await ensureTopics(config, { ...created, topics, partitions: 4 });
    const admin = await openedAdmin(config);
    await admin.createPartitions({ topicPartitions: [{ topic: topics[1].name, count: 6 }] });
    const refusal = `the topic ${topics[1].name} has 6 partitions, and`;
    await expect.poll(() => ensureTopics(config, { ...created, topics }).catch(String)).toContain(refusal);
    const problems: string[] = [];
    const onProblem = (problem: string) => problems.push(problem);
    expect(await ensureTopics(config, { ...created, mayCreate: false, topics, onProblem })).toMatchObject({ partitions: 4, topicIds });
    expect(problems).toEqual([expect.stringContaining(refusal)]);
  });

  it("are refused where they were created with settings that lose records, with all of them and how each is set", async () => {
    const { config, topics } = names(server);
    const admin = await openedAdmin(config);
    const [events, , , state] = topics;
    await admin.createTopics({
      topics: [
        { topic: events.name, configEntries: [{ name: "retention.bytes", value: "1000000" }] },
        { topic: state.name, configEntries: [{ name: "cleanup.policy", value: "compact" }] },
      ],
    });
    const refused = ensureTopics(config, { ...created, topics });
    await expect(refused).rejects.toThrow(LogRefusedError);
    const add = (topic: string, setting: string): string => `--entity-name ${topic} --add-config ${setting}`;
    for (const fix of [
      add(events.name, "retention.bytes=-1"),
      add(events.name, "retention.ms=-1"),
      add(events.name, "max.message.bytes=2162688"),
      add(state.name, "message.timestamp.type=LogAppendTime"),
    ])
      await expect(refused).rejects.toThrow(fix);
  });

  it("are watched by members: one that is dealt a partition that was added refuses, and so does one that joins when they were created again", async () => {
    const { log, topics, group, config } = await openedLog(server, 2);
    const admin = await openedAdmin(config);
    await admin.createPartitions({ topicPartitions: [{ topic: topics.events, count: 3 }] });
    await expect(
      (async () => {
        await using member = await log.consume({ group, topic: topics.events, instance: "one" });
        for (;;) await member.poll({ maxRecords: 1, maxBytes: 1, waitMs: 100 });
      })(),
    ).rejects.toThrow(`${topics.events} has a partition 2`);
    await admin.deleteTopics({ topics: [topics.events] });
    const again = async (): Promise<string> => {
      await admin.createTopics({ topics: [{ topic: topics.events, numPartitions: 2 }] }).catch(() => undefined);
      return log.own({ group, topic: topics.events, stateTopic: topics.state, instance: "one" }).then(String, String);
    };
    await expect.poll(again).toContain("was created again since this process began");
  });

  it("are not created by who may only look", async () => {
    const { config, topics } = names(server);
    await expect(ensureTopics(config, { ...created, topics, mayCreate: false })).rejects.toThrow(`have no topic ${topics[0].name}`);
  });
});

const created = { replicationFactor: -1, mayCreate: true };

function names({ brokers }: KafkaServer) {
  const name = randomUUID();
  const topics = [
    { name: `${name}.events`, retention: "forever" },
    { name: `${name}.commands`, retention: "days" },
    { name: `${name}.replies`, retention: "live" },
    { name: `${name}.state`, retention: "latest" },
  ] as const satisfies readonly Topic[];
  return { topics, config: kafkaConfig({ brokers, clientId: name }) };
}
