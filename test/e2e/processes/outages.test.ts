/** What callers and operators see while Kafka or MongoDB is away, and afterwards. */

import { randomUUID } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { freeze } from "../../support/freeze.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { healthOf } from "../../support/health.ts";
import { type KafkaServer, startKafka } from "../../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../../support/mongo-server.ts";
import { newOrder } from "../../support/orders.ts";
import { startSystem, type TestSystem } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const { createOrder } = OrderCommandService.method;
const { getOrder } = OrderQueryService.method;

/** Long enough for a check of the health to fail and to succeed again, on a busy machine. */
const patience = { timeout: 60_000, interval: 100 };

/** Both times, and what is between. */
const TIMEOUT_MS = 150_000;

describe.skipIf(kafkaSource?.kind !== "program" || mongoSource?.kind !== "program")("an outage", () => {
  let kafka: KafkaServer;
  let mongo: MongoServer;
  let system: TestSystem;
  let commands: GrpcClient;
  let queries: GrpcClient;

  beforeAll(async () => {
    [kafka, mongo] = await Promise.all([startKafka(), startMongo()]);
    system = await startSystem({ brokers: kafka.brokers, mongoUri: mongo.uri });
    commands = createGrpcClient(system.commandAddress);
    queries = createGrpcClient(system.queryAddress);
  });
  afterAll(async () => {
    commands[Symbol.dispose]();
    queries[Symbol.dispose]();
    await system[Symbol.asyncDispose]();
    await Promise.all([kafka[Symbol.asyncDispose](), mongo[Symbol.asyncDispose]()]);
  });

  it.each<Outage>([
    ["that is killed", () => kafka.kill(), () => kafka.restart()],
    ["that hangs", () => freeze(kafka.pid), () => process.kill(kafka.pid, "SIGCONT")],
  ])("of a broker %s is told in time, and everything resumes by itself", { timeout: TIMEOUT_MS }, async (_, begin, end) => {
    const pids = pidsOf(system);
    await begin();
    try {
      const failure = await failureOf(commands.call(createOrder, newOrder(randomUUID()), { deadlineMs: 3_000 }));
      expect(failure).toMatchObject({ code: Code.UNAVAILABLE, reason: "LOG_UNAVAILABLE", retryAfterMs: 1_000 });
      await expect
        .poll(() => healthsOf(system), patience)
        .toEqual({
          "command-service": "NOT_SERVING",
          "command-handler": "NOT_SERVING",
          projector: "NOT_SERVING",
          "query-service": "SERVING",
        });
      const refused = await failureOf(commands.call(createOrder, newOrder(randomUUID())));
      expect(refused).toMatchObject({ code: Code.UNAVAILABLE, reason: "NOT_SERVING", retryAfterMs: 1_000 });
    } finally {
      await end();
    }
    await expect.poll(() => healthsOf(system), patience).toEqual(allServing);
    await expectReadYourWrite();
    expect(pidsOf(system)).toEqual(pids);
  });

  it.each<Outage>([
    ["that is killed", () => mongo.kill(), () => mongo.restart()],
    ["that hangs", () => freeze(mongo.pid), () => process.kill(mongo.pid, "SIGCONT")],
  ])("of a mongod %s is told in time, commands go on, and everything resumes by itself", { timeout: TIMEOUT_MS }, async (_, begin, end) => {
    const pids = pidsOf(system);
    const orderId = randomUUID();
    let token = "";
    await begin();
    try {
      const { receipt } = await commands.call(createOrder, newOrder(orderId));
      token = receipt?.consistencyToken ?? "";
      const failure = await failureOf(queries.call(getOrder, { orderId }, { deadlineMs: 3_000 }));
      expect(failure).toMatchObject({ code: Code.UNAVAILABLE, reason: "DOCUMENTS_UNAVAILABLE", retryAfterMs: 1_000 });
      await expect
        .poll(() => healthsOf(system), patience)
        .toEqual({
          "command-service": "SERVING",
          "command-handler": "SERVING",
          projector: "NOT_SERVING",
          "query-service": "NOT_SERVING",
        });
    } finally {
      await end();
    }
    await expect.poll(() => healthsOf(system), patience).toEqual(allServing);
    const { order } = await queries.call(getOrder, { orderId, consistencyToken: token });
    expect(order).toMatchObject({ orderId, version: 1 });
    expect(pidsOf(system)).toEqual(pids);
  });

  async function expectReadYourWrite(): Promise<void> {
    const orderId = randomUUID();
    const { receipt } = await commands.call(createOrder, newOrder(orderId));
    const { order } = await queries.call(getOrder, { orderId, consistencyToken: receipt?.consistencyToken ?? "" });
    expect(order).toMatchObject({ orderId, version: 1 });
  }
});

/** What it is called, how it begins and how it ends. */
type Outage = readonly [title: string, begin: () => unknown, end: () => unknown];

const allServing = { "command-service": "SERVING", "command-handler": "SERVING", projector: "SERVING", "query-service": "SERVING" };

function pidsOf({ processes }: TestSystem) {
  return Object.values(processes).map(({ pid }) => pid);
}

async function healthsOf({ processes }: TestSystem) {
  const entries = Object.entries(processes).map(async ([name, { address }]) => [name, await healthOf(address)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function failureOf(call: Promise<unknown>): Promise<CallError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CallError) return error;
  throw new Error(`the call succeeded or failed otherwise: ${String(error)}`);
}
