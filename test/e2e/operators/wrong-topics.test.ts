/** What operators do where processes refuse to work: look at the topics, go on behind what is gone, and take everything elsewhere. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type CommandGateway, OutcomeUnknownError, type Submission } from "../../../internal/cqrs/command/command-gateway.ts";
import { type Log, RecordsGoneError } from "../../../internal/cqrs/log.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { ConfigResourceTypes, Kafka } from "../../../internal/log/kafka/kafkajs.ts";
import { openKafkaLog } from "../../../internal/log/kafka/open.ts";
import { type KafkaServer, startKafka } from "../../support/kafka-server.ts";
import { operate, operateJson } from "../../support/operator.ts";
import {
  createOrder,
  openGateway,
  orderIn,
  orders,
  partitions,
  placeOrder,
  startHandler,
  submission,
  submit,
} from "../../support/order-runtime.ts";
import { kafka as kafkaSource } from "../../support/servers.ts";

const { commands, events } = orders.topics;
const topics = Object.values(orders.topics);
const HERE = 1;
const decided = orderIn(HERE, "decided");
const lost = orderIn(HERE, "lost");
const kept = orderIn(HERE, "kept");

describe.skipIf(kafkaSource?.kind !== "program")("where processes refuse to work", () => {
  let folder: string;
  let kafka: KafkaServer;
  let onKafka: readonly string[];
  let admin: ReturnType<InstanceType<typeof Kafka>["admin"]>;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "headwater-wrong-topics-"));
    kafka = await startKafka();
    onKafka = ["--system", "kafka", "--kafka-brokers", kafka.brokers.join(",")];
    admin = new Kafka({ brokers: kafka.brokers, clientId: "test", logLevel: 0 }).admin();
    await admin.connect();
  });
  afterAll(async () => {
    await admin.disconnect();
    await kafka[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("handlers go on behind commands that are gone once an operator has given these up", async () => {
    const log = await opened();
    const handler = startHandler(log);
    const gateway = await openGateway(log);
    await outcomeOf(gateway, submission(decided, createOrder));
    await handler[Symbol.asyncDispose]();
    await submit(gateway, submission(lost, createOrder), CommandStage.ACCEPTED);
    const end = (await log.ends(commands.name))[HERE] ?? 0;
    // kafkajs deletes from topics only of which it has asked something.
    await admin.fetchTopicOffsets(commands.name);
    await admin.deleteTopicRecords({ topic: commands.name, partitions: [{ partition: HERE, offset: String(end) }] });
    await submit(gateway, submission(kept, createOrder), CommandStage.ACCEPTED);
    await expect(startHandler(log).stopped).rejects.toThrow(RecordsGoneError);

    expect(await operate(["commands", "skip-lost", "--yes", ...onKafka])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ *1 +\d+ +\d+ +1\n+the command handlers can be started$/m),
    });
    const next = startHandler(log);
    expect(await outcomeOf(gateway, submission(kept, placeOrder))).toMatchObject({ version: 2 });
    expect((await outcomeOf(gateway, submission(lost, placeOrder)))?.rejection?.reason).toBe("ORDER_NOT_FOUND");
    await next[Symbol.asyncDispose]();
    expect(await operate(["commands", "skip-lost", ...onKafka])).toMatchObject({ code: 0, stdout: "no commands are lost\n" });
  });

  it("topics with wrong settings are looked at, with the fix, and are not written to", async () => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: events.name }],
    });
    const settings = (resources[0]?.configEntries ?? [])
      .filter(({ isDefault }) => !isDefault)
      .map(({ configName: name, configValue: value }) => ({ name, value }));
    const alter = (configEntries: typeof settings) =>
      admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: events.name, configEntries }] });
    await alter(settings.map((each) => (each.name === "retention.ms" ? { ...each, value: "604800000" } : each)));
    await expect(opened()).rejects.toThrow("retention.ms");

    const fix = `--entity-name ${events.name} --add-config retention.ms=-1`;
    expect(await operate(["topics", ...onKafka])).toMatchObject({ code: 1, stdout: expect.stringContaining(fix) });
    for (const look of [
      ["log", "tail"],
      ["dead-letters", "list"],
      ["log", "export", "-"],
    ])
      expect(await operate([...look, ...onKafka])).toMatchObject({ code: 0, stderr: expect.stringContaining(fix) });
    const change = ["dead-letters", "skip", "any", "--reason", "none", "--yes"];
    expect(await operate([...change, ...onKafka])).toMatchObject({ code: 1, stderr: expect.stringContaining(fix) });

    await alter(settings);
    expect(await operate(["topics", ...onKafka])).toMatchObject({ code: 0 });
  });

  it("a log to which partitions were added is exported with all that was decided, and goes on elsewhere", async () => {
    const export_ = async (name: string): Promise<string> => {
      const file = join(folder, name);
      expect(await operate(["log", "export", file, ...onKafka])).toMatchObject({ code: 0 });
      return file;
    };
    // First one topic only, as happens by hand; then all of them, which looks like a log of so many.
    for (const added of [[events], topics]) {
      const topicPartitions = added.map(({ name }) => ({ topic: name, count: partitions + 2 }));
      await Promise.allSettled(topicPartitions.map((each) => admin.createPartitions({ topicPartitions: [each] })));
      await expect.poll(async () => (await operate(["topics", ...onKafka])).stdout).toContain("partitions were added");
      const file = await export_(`${added.length}.jsonl`);
      const elsewhere = ["--data", join(folder, String(added.length))];
      expect(await operate(["log", "import", file, "--yes", ...elsewhere])).toMatchObject({ code: 0 });
      for (const [order, version] of [
        [decided, 1],
        [kept, 2],
      ] as const)
        expect(await operateJson(["orders", "show", order, ...elsewhere])).toMatchObject({ version });
      const { topics: imported } = await operateJson<{ readonly topics: readonly { readonly partitions: readonly unknown[] }[] }>([
        "topics",
        ...elsewhere,
      ]);
      expect(imported[0]?.partitions).toHaveLength(partitions);
    }
  });

  /** A handler may take long to join its group beside other work. */
  async function outcomeOf(gateway: CommandGateway, submitted: Submission) {
    for (;;) {
      try {
        return (await submit(gateway, submitted)).outcome;
      } catch (error) {
        if (!(error instanceof OutcomeUnknownError)) throw error;
      }
    }
  }

  async function opened(): Promise<Log> {
    const log = await openKafkaLog({ brokers: kafka.brokers, clientId: "test", topics, partitions, stateDirectory: null });
    onTestFinished(() => log[Symbol.asyncDispose]());
    return log;
  }
});
