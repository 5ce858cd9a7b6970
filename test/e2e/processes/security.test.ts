/** Brokers that demand TLS, passwords, certificates and rights, and what a process says when it has the wrong ones. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { domains } from "../../../internal/domains.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { Kafka } from "../../../internal/log/kafka/kafkajs.ts";
import { endOf } from "../../support/ended-process.ts";
import { createGrpcClient } from "../../support/grpc-client.ts";
import { startMongo } from "../../support/mongo-server.ts";
import { operate } from "../../support/operator.ts";
import { newOrder } from "../../support/orders.ts";
import { type ProcessName, startProcess, type TestProcess } from "../../support/processes.ts";
import { type SecureKafka, startSecureKafka } from "../../support/secure-kafka.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const root = join(import.meta.dirname, "..", "..", "..");

/** A dozen processes start one after the other. */
const WHOLE_FLOW_MS = 300_000;

const passwords = {
  admin: "open sesame",
  nobody: "nothing",
  "command-service": "one",
  "command-handler": "two",
  projector: "three",
  operator: "four",
};

describe.skipIf(kafkaSource?.kind !== "program" || mongoSource?.kind !== "program")("a broker that asks who is there", () => {
  let secure: SecureKafka;
  /** Environments of processes. */
  let tls: Readonly<Record<string, string>>;
  let mutual: Readonly<Record<string, string>>;
  const admin = login("plain", "admin", passwords.admin);

  beforeAll(async () => {
    secure = await startSecureKafka({ passwords, superUsers: ["admin"] });
    tls = { HEADWATER_KAFKA_TLS: "true", HEADWATER_KAFKA_CA_FILE: secure.authority.certificate };
    mutual = { ...tls, HEADWATER_KAFKA_CERT_FILE: secure.client.certificate, HEADWATER_KAFKA_KEY_FILE: secure.client.key };
  });
  afterAll(() => secure[Symbol.asyncDispose]());

  it("needs no more rights for the whole flow than docs/production.md lists", { timeout: WHOLE_FLOW_MS }, async () => {
    // Before anybody else has created the topics.
    const rights = readRights();
    expect(new Set(rights.map(({ process }) => process))).toEqual(new Set(["command-service", "command-handler", "projector", "operator"]));
    await grant(rights);
    await using stack = new AsyncDisposableStack();
    const mongo = stack.use(await startMongo());
    const startAs = async (name: Exclude<keyof typeof passwords, "operator"> & ProcessName): Promise<TestProcess> =>
      stack.use(await start(name, "SASL_SSL", { ...tls, ...login("scram-sha-512", name, passwords[name]) }, mongo.uri));
    await startAs("command-handler");
    await startAs("projector");
    const { address } = await startAs("command-service");
    using commands = createGrpcClient(address);
    const { createOrder, placeOrder } = OrderCommandService.method;
    const orderId = randomUUID();
    await commands.call(createOrder, newOrder(orderId));
    const { receipt } = await commands.call(placeOrder, { orderId, options: { waitFor: CommandStage.PROJECTED } });
    expect(receipt).toMatchObject({ version: 2, stage: CommandStage.PROJECTED, pendingViews: [] });
    await expectOperatorCan(mongo.uri, orderId);
  });

  it.each([
    ["a password", "SASL_PLAINTEXT", () => admin],
    ["a salted password", "SASL_PLAINTEXT", () => login("scram-sha-512", "admin", passwords.admin)],
    ["a password over TLS", "SASL_SSL", () => ({ ...tls, ...admin })],
    ["a salted password over TLS", "SASL_SSL", () => ({ ...tls, ...login("scram-sha-512", "admin", passwords.admin) })],
    ["a certificate", "SSL", () => mutual],
  ] as const)("lets a process in that has %s", async (_, protocol, environment) => {
    await using process = await start("command-service", protocol, environment());
    expect(process.output()).toContain("command-service serves on");
  });

  it("lets a process in whose password is in a file, with or without a newline at its end", async () => {
    const path = join(secure.folder, "password");
    for (const content of [passwords.admin, `${passwords.admin}\n`]) {
      await writeFile(path, content);
      const environment = { ...login("scram-sha-512", "admin", ""), HEADWATER_KAFKA_PASSWORD_FILE: path };
      await using process = await start("command-service", "SASL_PLAINTEXT", environment);
      expect(process.output()).toContain("command-service serves on");
    }
  });

  it.each([
    ["a wrong password", "SASL_PLAINTEXT", () => login("plain", "admin", "wrong"), /refuses this client.*check its user, password/],
    [
      "a wrong salted password",
      "SASL_SSL",
      () => ({ ...tls, ...login("scram-sha-512", "admin", "wrong") }),
      /refuses this client.*password/,
    ],
    ["an unknown user", "SASL_PLAINTEXT", () => login("scram-sha-512", "who", "wrong"), /refuses this client.*check its user/],
    ["a mechanism that is off", "SASL_PLAINTEXT", () => login("scram-sha-256", "admin", passwords.admin), /refuses this client.*SASL/],
    ["no rights", "SASL_PLAINTEXT", () => login("plain", "nobody", passwords.nobody), /refuses this client.*ACLs/],
    ["no trust in the broker's authority", "SASL_SSL", () => ({ HEADWATER_KAFKA_TLS: "true", ...admin }), /no TLS with Kafka.*certificate/],
    ["no certificate", "SSL", () => tls, /no TLS with Kafka: ssl\/tls alert bad certificate; check/],
  ] as const)("ends a process that has %s, with what to do as its last line", async (_, protocol, environment, reason) => {
    const { code, lastLine, output } = await endOf("command-service", {
      HEADWATER_KAFKA_BROKERS: secure.addresses[protocol],
      ...environment(),
    });
    expect(lastLine).toMatch(/^command-service has ended: /);
    expect(lastLine).toMatch(reason);
    expect(output).not.toContain(passwords.admin);
    expect(code).toBe(1);
  });

  async function expectOperatorCan(mongoUri: string, orderId: string): Promise<void> {
    const environment = {
      ...tls,
      ...login("scram-sha-512", "operator", passwords.operator),
      HEADWATER_SYSTEM: "kafka",
      HEADWATER_KAFKA_BROKERS: secure.addresses.SASL_SSL,
      HEADWATER_MONGO_URI: mongoUri,
    };
    const client = new Kafka({ brokers: secure.kafka.brokers, clientId: "test", logLevel: 0 }).producer();
    await client.connect();
    await client.send({ topic: "orders.commands.v1", messages: [{ partition: 0, key: "garbage", value: "garbage" }] });
    await client.disconnect();
    for (const [args, output] of [
      [["status", "--sample", "0"], /parked keys/],
      [["topics"], /orders\.events\.v1/],
      [["orders", "show", orderId], /orderPlaced/],
      [["log", "export", "-"], /"end":true/],
      [["dead-letters", "list"], /garbage/],
    ] as const) {
      const { code, stdout, stderr } = await operate(args, { environment });
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(stdout).toMatch(output);
    }
    const { stdout: letters } = await operate(["dead-letters", "list", "--json"], { environment });
    const [letter] = JSON.parse(letters) as readonly { readonly id: string }[];
    expect(await operate(["dead-letters", "skip", letter?.id ?? "", "--reason", "test", "--yes"], { environment })).toMatchObject({
      code: 0,
    });
  }

  function start(
    name: ProcessName,
    protocol: keyof SecureKafka["addresses"],
    environment: Readonly<Record<string, string>>,
    mongoUri = "",
  ) {
    return startProcess(name, { brokers: [secure.addresses[protocol]], mongoUri, environment });
  }

  async function grant(rights: readonly Right[]): Promise<void> {
    const client = new Kafka({ brokers: secure.kafka.brokers, clientId: "test", logLevel: 0 }).admin();
    await client.connect();
    const acl = rights.flatMap(({ process, resource, name, operations }) =>
      operations.map((operation) => ({
        resourceType: resourceTypes[resource],
        resourceName: name.replace(/\*$/, ""),
        resourcePatternType: name.endsWith("*") ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
        principal: `User:${process}`,
        host: "*",
        operation: operationTypes[operation],
        permissionType: AclPermissionTypes.ALLOW,
      })),
    );
    await client.createAcls({ acl });
    await client.disconnect();
  }
});

interface Right {
  readonly process: string;
  readonly resource: keyof typeof resourceTypes;
  readonly name: string;
  readonly operations: readonly (keyof typeof operationTypes)[];
}

const resourceTypes = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  "transactional id": AclResourceTypes.TRANSACTIONAL_ID,
} as const;

const operationTypes = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Create: AclOperationTypes.CREATE,
  Describe: AclOperationTypes.DESCRIBE,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
} as const;

/** The table of ACLs, for every domain. */
function readRights(): readonly Right[] {
  const text = readFileSync(join(root, "docs", "production.md"), "utf8");
  const row = /^\| `(?<process>[\w-]+)` \| (?<resource>topic|group|transactional id) \| `(?<name>\S+)` \| (?<operations>[\w, ]+) \|$/gm;
  return [...text.matchAll(row)].flatMap(({ groups }) => {
    const { process = "", resource, name = "", operations = "" } = groups ?? {};
    return domains.map((domain) => {
      return { process, resource, name: name.replace(/^orders\b/, domain.name), operations: operations.split(", ") } as Right;
    });
  });
}

function login(mechanism: string, username: string, password: string): Readonly<Record<string, string>> {
  return { HEADWATER_KAFKA_SASL: mechanism, HEADWATER_KAFKA_USERNAME: username, HEADWATER_KAFKA_PASSWORD: password };
}
