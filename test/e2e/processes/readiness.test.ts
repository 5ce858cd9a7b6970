/** A process says that it serves or works, and its health says so, when it can do its work: that it listens is not enough. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createGrpcClient } from "../../support/grpc-client.ts";
import { healthOf } from "../../support/health.ts";
import { type KafkaServer, startKafka } from "../../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../../support/mongo-server.ts";
import { freePorts } from "../../support/ports.ts";
import { type ProcessName, startProcess, type TestProcess } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const patience = { timeout: 60_000 };

/** Five processes start one after the other. */
const TIMEOUT_MS = 300_000;

describe.skipIf(kafkaSource?.kind !== "program" || mongoSource?.kind !== "program")("a process that has started", () => {
  let kafka: KafkaServer;
  let mongo: MongoServer;

  beforeAll(async () => {
    [kafka, mongo] = await Promise.all([startKafka(), startMongo()]);
  });
  afterAll(async () => {
    await Promise.all([kafka[Symbol.asyncDispose](), mongo[Symbol.asyncDispose]()]);
  });

  it("says nothing and is not serving while what it needs is missing, and serves from the moment when it says so", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using stack = new AsyncDisposableStack();
    const query = await begin("query-service");
    const { getOrder } = OrderQueryService.method;
    using client = createGrpcClient(query.address);
    await expect(client.call(getOrder, { orderId: "none" })).rejects.toMatchObject({ reason: "NOT_SERVING" });
    const command = await begin("command-service");
    stack.use(await command.said);
    const urls = { HEADWATER_COMMAND_URL: `http://${command.address}`, HEADWATER_QUERY_URL: `http://${query.address}` };
    const gateway = await begin("gateway", urls);
    expect([query.hasSaid(), gateway.hasSaid()]).toEqual([false, false]);

    const projector = await begin("projector");
    const handler = await begin("command-handler");
    for (const each of [projector, handler, query]) {
      const { address } = stack.use(await each.said);
      expect(await healthOf(address)).toBe("SERVING");
    }
    stack.use(await gateway.said);
    await expect(client.call(getOrder, { orderId: "none" })).rejects.toMatchObject({ reason: "ORDER_NOT_FOUND" });
  });

  /** Starts a process and waits until it listens. */
  async function begin(name: ProcessName, environment: Readonly<Record<string, string>> = {}) {
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    const said: Promise<TestProcess> = startProcess(name, { brokers: kafka.brokers, mongoUri: mongo.uri, port, environment });
    let hasSaid = false;
    said.then(
      () => (hasSaid = true),
      () => undefined,
    );
    await expect.poll(() => healthOf(address), patience).not.toMatch(/UNAVAILABLE|ECONNREFUSED|No connection/);
    return { address, said, hasSaid: () => hasSaid };
  }
});
