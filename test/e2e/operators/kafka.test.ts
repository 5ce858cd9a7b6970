/** The operator's commands on Kafka and MongoDB: an embedded log moves there, goes on there, and comes back. */

import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderStatus } from "../../../internal/gen/headwater/orders/v1/order_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { Kafka } from "../../../internal/log/kafka/kafkajs.ts";
import { startBackground } from "../../../internal/platform/background.ts";
import { startDevProcess } from "../../support/dev-process.ts";
import { createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { type KafkaServer, startKafka } from "../../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../../support/mongo-server.ts";
import { type Ended, operate, operateJson } from "../../support/operator.ts";
import { newOrder } from "../../support/orders.ts";
import { startSystem, type TestSystem } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const { createOrder, placeOrder, shipOrder } = OrderCommandService.method;
const { getOrder } = OrderQueryService.method;

describe.skipIf(kafkaSource === undefined || mongoSource === undefined)("on Kafka and MongoDB", () => {
  const create = { ...newOrder("first"), options: { commandId: randomUUID() } };
  let folder: string;
  let file: string;
  let kafka: KafkaServer;
  let mongo: MongoServer;
  let onKafka: readonly string[];
  let onFolder: readonly string[];
  let receipt: object | undefined;
  let exported: Ended;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "headwater-moved-"));
    file = join(folder, "log.jsonl");
    onFolder = ["--data", join(folder, "data")];
    [kafka, mongo] = await Promise.all([startKafka(), startMongo()]);
    onKafka = ["--system", "kafka", "--kafka-brokers", kafka.brokers.join(","), "--mongo-uri", mongo.uri];
    await using dev = await startDevProcess({ directory: join(folder, "data") });
    using commands = createGrpcClient(dev.commandAddress);
    const created = await commands.call(createOrder, create);
    receipt = receiptOf(created.receipt);
    await commands.call(shipOrder, { orderId: "first" }).catch(() => undefined);
    await commands.call(placeOrder, { orderId: "first" });
    await Promise.all(Array.from({ length: 20 }, (_, index) => commands.call(createOrder, newOrder(`more-${index}`))));
    exported = await operate(["log", "export", file, ...onFolder]);
  });
  afterAll(async () => {
    await Promise.all([kafka[Symbol.asyncDispose](), mongo[Symbol.asyncDispose]()]);
    await rm(folder, { recursive: true, force: true });
  });

  it("topics that are not there are not created by a command that only looks", async () => {
    const { code, stderr } = await operate(["topics", ...onKafka]);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("have no topic orders.commands.v1") });
  });

  it("an embedded log moves to Kafka, with the same orders, histories, and first answers of old commands", async () => {
    expect(exported).toMatchObject({ code: 0 });
    const imported = await operate(["log", "import", file, "--yes", ...onKafka]);
    expect(imported).toMatchObject({ code: 0, stderr: expect.stringContaining("22 records of orders.events.v1") });
    expect(await operate(["log", "import", file, "--yes", ...onKafka])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is not empty"),
    });
    expect(await shownOrder("first", onKafka)).toEqual(await shownOrder("first", onFolder));

    await using system = await startSystem({ brokers: kafka.brokers, mongoUri: mongo.uri });
    using commands = createGrpcClient(system.commandAddress);
    using queries = createGrpcClient(system.queryAddress);
    expect(receiptOf((await commands.call(createOrder, create)).receipt)).toEqual(receipt);
    const shipped = await commands.call(placeOrder, { orderId: "more-3", options: { waitFor: CommandStage.PROJECTED } });
    expect(shipped.receipt).toMatchObject({ version: 2, stage: CommandStage.PROJECTED });
    for (const [orderId, status] of [
      ["first", OrderStatus.PLACED],
      ["more-3", OrderStatus.PLACED],
      ["more-7", OrderStatus.DRAFT],
    ] as const) {
      expect((await queries.call(getOrder, { orderId })).order).toMatchObject({ orderId, status });
    }
    await looksAreRight(system, commands);
    await isExportedBesideCommands(commands);
  });

  it("the log comes back from Kafka, with what has happened since", async () => {
    const back = join(folder, "back.jsonl");
    expect(await operate(["log", "export", back, ...onKafka])).toMatchObject({ code: 0 });
    const elsewhere = ["--data", join(folder, "elsewhere")];
    expect(await operate(["log", "import", "-", "--yes", ...elsewhere], { input: await readFile(back, "utf8") })).toMatchObject({
      code: 0,
    });
    for (const orderId of ["first", "more-3"]) {
      expect(await shownOrder(orderId, elsewhere)).toEqual(await shownOrder(orderId, onKafka));
    }
  });

  /** What was answered before an export began is in it. */
  async function isExportedBesideCommands(commands: GrpcClient): Promise<void> {
    let created = 0;
    await using _load = startBackground(async (signal) => {
      for (; !signal.aborted; created += 1) await commands.call(createOrder, newOrder(`load-${created}`));
    });
    await expect.poll(() => created).toBeGreaterThan(20);
    const before = created;
    const copy = join(folder, "beside.jsonl");
    const elsewhere = ["--data", join(folder, "beside")];
    expect(await operate(["log", "export", copy, ...onKafka])).toMatchObject({ code: 0 });
    expect(created).toBeGreaterThan(before);
    expect(await operate(["log", "import", copy, "--yes", ...elsewhere])).toMatchObject({ code: 0 });
    for (const number of [0, before - 1]) {
      expect(await operateJson(["orders", "show", `load-${number}`, ...elsewhere])).toMatchObject({ version: 1 });
    }
  }

  /** While the system runs. */
  async function looksAreRight(system: TestSystem, commands: GrpcClient): Promise<void> {
    await abortedTransaction(kafka);
    const status = await operateJson<{ readonly partitions: readonly { readonly events: number }[] }>([
      "status",
      "--sample",
      "0",
      ...onKafka,
    ]);
    expect(status.partitions).toHaveLength(8);
    for (const partition of status.partitions) {
      expect(partition).toMatchObject({ commandsWaiting: 0, lagEvents: 0, handler: expect.any(String), projector: expect.any(String) });
    }
    expect(status.partitions.reduce((sum, { events }) => sum + events, 0)).toBe(23);
    await system.processes["command-handler"].end("SIGTERM");
    void commands.call(placeOrder, { orderId: "more-5" }).catch(() => undefined);
    const waiting = async () => {
      const { partitions } = await operateJson<{ readonly partitions: readonly { readonly commandsWaiting: number }[] }>([
        "status",
        "--sample",
        "0",
        ...onKafka,
      ]);
      return partitions.reduce((sum, { commandsWaiting }) => sum + commandsWaiting, 0);
    };
    await expect.poll(waiting).toBeGreaterThan(0);
    expect(await operate(["log", "export", "-", "--settled", "--wait", "0", ...onKafka])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("not decided"),
    });
    await system.processes["command-handler"].start();
    await expect.poll(waiting).toBe(0);
  }
});

/** What must be the same in another log. */
async function shownOrder(orderId: string, system: readonly string[]) {
  const order = await operateJson<{ readonly history: readonly Record<string, unknown>[] }>(["orders", "show", orderId, ...system]);
  return { ...order, history: order.history.map((entry) => ({ ...entry, offset: undefined, commandOffset: undefined })) };
}

/** The tokens of another log are others. */
function receiptOf(receipt: object | undefined) {
  return { ...receipt, consistencyToken: undefined };
}

/** Many records at the end of a partition that were never committed. */
async function abortedTransaction(kafka: KafkaServer): Promise<void> {
  const producer = new Kafka({ brokers: [...kafka.brokers], logLevel: 0 }).producer({
    transactionalId: randomUUID(),
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({
    topic: "orders.events.v1",
    messages: Array.from({ length: 400 }, () => ({ partition: 0, key: "never", value: "never" })),
  });
  await transaction.abort();
  await producer.disconnect();
}
