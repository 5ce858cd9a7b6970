/** The whole flow with every process started alone, on a real broker and a real mongod. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderStatus } from "../../../internal/gen/headwater/orders/v1/order_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { type KafkaServer, startKafka } from "../../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../../support/mongo-server.ts";
import { newOrder } from "../../support/orders.ts";
import { startProcess, startSystem, type TestSystem } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const { createOrder, placeOrder, recordPayment, shipOrder } = OrderCommandService.method;
const { getOrder } = OrderQueryService.method;

describe.skipIf(kafkaSource === undefined || mongoSource === undefined)("processes on Kafka and MongoDB", () => {
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

  it("an order goes from its creation to its shipment, and a read with the last receipt's token shows it", async () => {
    const orderId = randomUUID();
    const order = newOrder(orderId);
    await commands.call(createOrder, order);
    await commands.call(placeOrder, { orderId });
    await commands.call(recordPayment, { orderId, amount: { currencyCode: "EUR", minorUnits: 2_150n }, method: "card" });
    const { receipt } = await commands.call(shipOrder, { orderId });
    const { order: read } = await queries.call(getOrder, { orderId, consistencyToken: receipt?.consistencyToken ?? "" });
    expect(read).toMatchObject({ orderId, version: 4, status: OrderStatus.SHIPPED });
  });

  it("a caller who waits for the views is answered when they show his order", async () => {
    const orderId = randomUUID();
    const options = { waitFor: CommandStage.PROJECTED };
    const { receipt } = await commands.call(createOrder, { ...newOrder(orderId), options });
    expect(receipt).toMatchObject({ stage: CommandStage.PROJECTED, pendingViews: [] });
    const { order } = await queries.call(getOrder, { orderId });
    expect(order?.version).toBe(1);
  });

  it("every instance of the command service gets its own replies, also while others come and go", async () => {
    const servers = { brokers: kafka.brokers, mongoUri: mongo.uri };
    await using second = await startProcess("command-service", servers);
    using others = createGrpcClient(second.address);
    const both = [commands, others] as const;
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) => both[index % 2 === 0 ? 0 : 1].call(createOrder, newOrder(randomUUID()))),
    );
    expect(results.map(({ receipt }) => receipt?.version)).toEqual(Array.from({ length: 100 }, () => 1));
    const lost = others.call(createOrder, newOrder(randomUUID()));
    lost.catch(() => undefined);
    await second.end("SIGKILL");
    const { receipt } = await commands.call(createOrder, newOrder(randomUUID()));
    expect(receipt?.version).toBe(1);
  });

  it("a second handler under the same name replaces the first, which ends with the reason", async () => {
    const servers = { brokers: kafka.brokers, mongoUri: mongo.uri };
    await using first = await startProcess("command-handler", { ...servers, instance: "twin" });
    await using _second = await startProcess("command-handler", { ...servers, instance: "twin" });
    await first.exited;
    expect(first.output()).toMatch(/command-handler has ended: another twin has joined/);
    const { receipt } = await commands.call(createOrder, newOrder(randomUUID()));
    expect(receipt?.version).toBe(1);
  });
});
