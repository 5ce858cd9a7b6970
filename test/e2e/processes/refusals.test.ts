/** What processes do when a broker will never take what they write. */

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { domains } from "../../../internal/domains.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { ConfigResourceTypes, Kafka } from "../../../internal/log/kafka/kafkajs.ts";
import { createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { healthOf } from "../../support/health.ts";
import { startKafka } from "../../support/kafka-server.ts";
import { operateJson } from "../../support/operator.ts";
import { newOrder } from "../../support/orders.ts";
import { startProcess } from "../../support/processes.ts";
import { type SecureKafka, startSecureKafka } from "../../support/secure-kafka.ts";
import { kafka as kafkaSource } from "../../support/servers.ts";

const { createOrder } = OrderCommandService.method;
const EVENTS = "orders.events.v1";
const PASSWORD = "secret-1";

/** Neither of these processes needs documents. */
const mongoUri = "";

describe.skipIf(kafkaSource?.kind !== "program")("a process that a broker refuses", () => {
  let secure: SecureKafka;
  beforeAll(async () => {
    secure = await startSecureKafka({ passwords: { handler: PASSWORD, service: PASSWORD } });
  });
  afterAll(() => secure[Symbol.asyncDispose]());

  it("ends with the topic and the fix as its last line when a right was taken away, and goes on when it is back", async () => {
    const { brokers } = secure.kafka;
    const rights = ["handler", "service"].flatMap((user) =>
      domains.flatMap(({ name }) =>
        [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID].map((resourceType) => ({
          ...acl(user, resourceType, name),
          resourcePatternType: ResourcePatternTypes.PREFIXED,
        })),
      ),
    );
    await administer(brokers, (admin) => admin.createAcls({ acl: rights }));
    const asUser = (user: string) => ({
      brokers: [secure.addresses.SASL_PLAINTEXT],
      mongoUri,
      environment: { HEADWATER_KAFKA_SASL: "plain", HEADWATER_KAFKA_USERNAME: user, HEADWATER_KAFKA_PASSWORD: PASSWORD },
    });
    await using handler = await startProcess("command-handler", asUser("handler"));
    await using service = await startProcess("command-service", asUser("service"));
    using commands = createGrpcClient(service.address);
    await commands.call(createOrder, newOrder("before"));

    for (const [user, process, topic] of [
      ["handler", handler, EVENTS],
      ["handler", handler, "orders.replies.v1"],
      ["service", service, "orders.commands.v1"],
    ] as const) {
      const right = acl(user, AclResourceTypes.TOPIC, topic);
      const denied = { ...right, operation: AclOperationTypes.WRITE, permissionType: AclPermissionTypes.DENY };
      await administer(brokers, (admin) => admin.createAcls({ acl: [denied] }));
      const waiting = untilRefused(commands);
      expect(await process.exited).toBe("with exit code 1");
      const lastLine = process.output().trim().split("\n").at(-1);
      expect(lastLine).toMatch(/^command-(handler|service) has ended: Kafka refuses this client: .*check its user, password and ACLs: /);
      expect(lastLine?.endsWith(`the topic ${topic}`)).toBe(true);
      await waiting;
      await administer(brokers, (admin) => admin.deleteAcls({ filters: [denied] }));
      await process.start();
    }
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
    const letters = await operateJson(["dead-letters", "list", "--system", "kafka", "--kafka-brokers", brokers.join()]);
    expect(letters).toMatchObject([{ key: "large" }]);
  });
});

function acl(user: string, resourceType: AclResourceTypes, resourceName: string) {
  return {
    resourceType,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: `User:${user}`,
    host: "*",
    operation: AclOperationTypes.ALL,
    permissionType: AclPermissionTypes.ALLOW,
  };
}

/** A broker takes a moment to hear of an ACL: the process ends with the first command after that. */
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
