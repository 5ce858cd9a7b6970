/** What a command handler does when a broker will never take what it writes. */

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { describe, expect, it } from "vitest";

import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { ConfigResourceTypes, Kafka } from "../../../internal/log/kafka/kafkajs.ts";
import { createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { healthOf } from "../../support/health.ts";
import { startKafka } from "../../support/kafka-server.ts";
import { operateJson } from "../../support/operator.ts";
import { newOrder } from "../../support/orders.ts";
import { startProcess } from "../../support/processes.ts";
import { startSecureKafka } from "../../support/secure-kafka.ts";
import { kafka as kafkaSource } from "../../support/servers.ts";

const { createOrder } = OrderCommandService.method;
const EVENTS = "orders.events.v1";
const PASSWORD = "secret-1";

/** Neither of these processes needs documents. */
const mongoUri = "";

describe.skipIf(kafkaSource?.kind !== "program")("a command handler that a broker refuses", () => {
  it("ends with the topic and the fix as its last line when a right was taken away, and decides what waits when it is back", async () => {
    await using secure = await startSecureKafka({ passwords: { handler: PASSWORD } });
    const { brokers } = secure.kafka;
    const rights = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID].map((resourceType) => ({
      ...acl(resourceType, "orders"),
      resourcePatternType: ResourcePatternTypes.PREFIXED,
    }));
    await administer(brokers, (admin) => admin.createAcls({ acl: rights }));
    const environment = { HEADWATER_KAFKA_SASL: "plain", HEADWATER_KAFKA_USERNAME: "handler", HEADWATER_KAFKA_PASSWORD: PASSWORD };
    await using handler = await startProcess("command-handler", { brokers: [secure.addresses.SASL_PLAINTEXT], mongoUri, environment });
    await using service = await startProcess("command-service", { brokers, mongoUri });
    using commands = createGrpcClient(service.address);
    await commands.call(createOrder, newOrder("before"));

    const denied = { ...acl(AclResourceTypes.TOPIC, EVENTS), operation: AclOperationTypes.WRITE, permissionType: AclPermissionTypes.DENY };
    await administer(brokers, (admin) => admin.createAcls({ acl: [denied] }));
    const waiting = untilRefused(commands);
    expect(await handler.exited).toBe("with exit code 1");
    expect(handler.output().trim().split("\n").at(-1)).toMatch(
      /^command-handler has ended: Kafka refuses this client: .*check its user, password and ACLs: .*the topic orders\.events\.v1$/,
    );
    await waiting;
    await administer(brokers, (admin) => admin.deleteAcls({ filters: [denied] }));
    await handler.start();
    expect((await commands.call(createOrder, newOrder("after"))).receipt).toMatchObject({ version: 1 });
  });

  it("gives up what is too large for a topic, tells its caller, and decides all else", async () => {
    await using kafka = await startKafka();
    const { brokers } = kafka;
    await using handler = await startProcess("command-handler", { brokers, mongoUri });
    await using service = await startProcess("command-service", { brokers, mongoUri });
    using commands = createGrpcClient(service.address);
    await commands.call(createOrder, newOrder("before"));
    const topic = { type: ConfigResourceTypes.TOPIC, name: EVENTS };
    const { resources } = await administer(brokers, (admin) => admin.describeConfigs({ includeSynonyms: false, resources: [topic] }));
    const settings = (resources[0]?.configEntries ?? [])
      .filter(({ isDefault }) => !isDefault)
      .map(({ configName: name, configValue: value }) => ({ name, value }));
    const alter = (configEntries: typeof settings) =>
      administer(brokers, (admin) => admin.alterConfigs({ validateOnly: false, resources: [{ ...topic, configEntries }] }));
    await alter(settings.map((each) => (each.name === "max.message.bytes" ? { ...each, value: "100000" } : each)));
    const lines = Array.from({ length: 700 }, (_, index) => ({
      sku: `sku-${index}`,
      description: "x".repeat(256),
      quantity: 1,
      unitPrice: { currencyCode: "EUR", minorUnits: 1n },
    }));
    const [large, ...others] = await Promise.allSettled([
      commands.call(createOrder, { ...newOrder("large"), lines }),
      ...Array.from({ length: 100 }, (_, index) =>
        commands.call(createOrder, { ...newOrder(`order-${index}`), lines: lines.slice(0, 20) }),
      ),
    ]);
    expect(large).toMatchObject({ status: "rejected", reason: { reason: "COMMAND_TOO_LARGE" } });
    expect(others.map(({ status }) => status)).toEqual(others.map(() => "fulfilled"));
    expect(await healthOf(handler.address)).toBe("SERVING");
    // Operators are refused as the processes are while a topic has such settings.
    await alter(settings);
    const letters = await operateJson(["dead-letters", "list", "--system", "kafka", "--kafka-brokers", brokers.join()]);
    expect(letters).toMatchObject([{ key: "large" }]);
  });
});

function acl(resourceType: AclResourceTypes, resourceName: string) {
  return {
    resourceType,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: "User:handler",
    host: "*",
    operation: AclOperationTypes.ALL,
    permissionType: AclPermissionTypes.ALLOW,
  };
}

/** A broker takes a moment to hear of an ACL: the handler ends with the first command after that. */
async function untilRefused(commands: GrpcClient): Promise<void> {
  for (let index = 0; ; index += 1) {
    try {
      await commands.call(createOrder, newOrder(`waiting-${index}`), { deadlineMs: 5_000 });
    } catch {
      return;
    }
  }
}

type Admin = ReturnType<InstanceType<typeof Kafka>["admin"]>;

async function administer<Result>(brokers: readonly string[], act: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ brokers: [...brokers], clientId: "test", logLevel: 0 }).admin();
  await admin.connect();
  try {
    return await act(admin);
  } finally {
    await admin.disconnect();
  }
}
