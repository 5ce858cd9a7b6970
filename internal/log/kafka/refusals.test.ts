/** What a broker will never take, on a real one: whoever sends it is told so, nothing of it is written, and nobody else notices. */

import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type KafkaServer, startKafka } from "../../../test/support/kafka-server.ts";
import { type SecureKafka, startSecureKafka } from "../../../test/support/secure-kafka.ts";
import { kafka } from "../../../test/support/servers.ts";
import { LogRefusedError, type NewRecord, type Owner, RecordsTooLargeError } from "../../cqrs/log.ts";
import { startAppender } from "./appender.ts";
import { ConfigResourceTypes, type KafkaConfig } from "./kafkajs.ts";
import { contents, type OpenedLog, openedAdmin, openedLog, record, tookOver } from "./testing/opened-log.ts";

const SMALL_BYTES = 100_000;
const USER = "writer";
const PASSWORD = "secret-1";

describe.skipIf(kafka === undefined)("a broker that refuses", () => {
  let server: KafkaServer;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("a transaction of 2,000 records with long headers is committed", async () => {
    const opened = await openedLog(server);
    const owner = await owned(opened);
    const headers = { traceparent: "0".repeat(55), tracestate: "v".repeat(545) };
    const records = Array.from({ length: 2_000 }, (_, index) => ({ ...sized(opened.topics.other, String(index), 700), headers }));
    await owner.transact({ records, consumed: new Map([[0, 1]]) });
    expect([...(await contents(opened.log, opened.topics.other)).values()]).toEqual(records.map(({ key }) => key));
  });

  it("records that are too large together are refused as that; nothing is written, and fewer of them go", async () => {
    const opened = await openedLog(server);
    const { log, topics, config } = opened;
    const owner = await owned(opened);
    await setMaxMessageBytes(config, topics.other, SMALL_BYTES);
    const records = ["a", "b", "c", "d"].map((key) => sized(topics.other, key, 30_000));
    const consumed = new Map([[0, 1]]);
    const refused = await owner.transact({ records: [record(topics.events, "x"), ...records], consumed }).catch(asValue);
    expect(refused).toBeInstanceOf(RecordsTooLargeError);
    expect(refused).toHaveProperty("message", expect.stringContaining(`the topic ${topics.other}`));
    expect([...(await contents(log, topics.events)).values(), ...(await contents(log, topics.other)).values()]).toEqual([]);
    owner.reset();
    await tookOver(owner);
    await owner.transact({ records: records.slice(0, 2), consumed });
    expect([...(await contents(log, topics.other)).values()]).toEqual(["a", "b"]);
  });

  it("an append that is too large for its topic is refused alone, and what was sent with it is written once", async () => {
    const { topics, config, log } = await openedLog(server);
    await setMaxMessageBytes(config, topics.other, SMALL_BYTES);
    await using appender = await startAppender(config);
    // One that is under way lets all the others share the next.
    const first = appender.append([record(topics.events, "first")]);
    const sizes = Array.from({ length: 40 }, (_, index) => (index % 13 === 5 ? 120_000 : 20_000));
    const appended = sizes.map((bytes, index) =>
      appender.append([record(topics.events, `e-${index}`), sized(topics.other, String(index), bytes)]),
    );
    const results = await Promise.allSettled([first, ...appended]);
    const failures = results.flatMap((result, index) =>
      result.status === "rejected" ? [[index - 1, result.reason as unknown] as const] : [],
    );
    expect(failures.map(([index]) => index)).toEqual([5, 18, 31]);
    for (const [, failure] of failures) expect(failure).toBeInstanceOf(RecordsTooLargeError);
    const written = await contents(log, topics.other);
    const small = sizes.flatMap((bytes, index) => (bytes === 20_000 ? [String(index)] : []));
    expect([...written.values()].toSorted()).toEqual(small.toSorted());
    const told = results.slice(1).map((result) => (result.status === "fulfilled" ? written.get(result.value[1] ?? -1) : undefined));
    expect(told).toEqual(sizes.map((bytes, index) => (bytes === 20_000 ? String(index) : undefined)));
  });

  it("one caller's long headers fail nobody else", async () => {
    const { topics, log } = await openedLog(server);
    const headers = { tracestate: "v".repeat(3 * 1024 * 1024) };
    const [long, ...others] = await Promise.allSettled([
      log.append([{ ...record(topics.other, "long"), headers }]),
      ...["a", "b"].map((key) => log.append([record(topics.other, key)])),
    ]);
    expect(long).toMatchObject({ status: "rejected", reason: expect.any(RecordsTooLargeError) as unknown });
    expect(others.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    expect([...(await contents(log, topics.other)).values()]).toEqual(["a", "b"]);
  });
});

describe.skipIf(kafka?.kind !== "program")("a broker that lets a user do little", () => {
  let secure: SecureKafka;
  beforeAll(async () => {
    secure = await startSecureKafka({ passwords: { [USER]: PASSWORD } });
  });
  afterAll(() => secure[Symbol.asyncDispose]());

  it("an owner that may not write to a topic is told which, and writes nothing", async () => {
    const { opened, log } = await openedAsUser(secure);
    const { topics, config } = opened;
    const owner = await owned({ ...opened, log });
    const consumed = new Map([[0, 1]]);
    await owner.transact({ records: [record(topics.other, "before")], consumed });
    await setAcl(config, topics.other, AclPermissionTypes.DENY, AclOperationTypes.WRITE);
    const records = [record(topics.state, "a"), record(topics.other, "b"), record(topics.events, "c")];
    const failure = await untilFailed(() => owner.transact({ records, consumed }));
    expect(failure).toBeInstanceOf(LogRefusedError);
    expect(failure).toHaveProperty("message", expect.stringContaining(`the topic ${topics.other}`));
    const [others, events] = await Promise.all([contents(opened.log, topics.other), contents(opened.log, topics.events)]);
    expect(new Set(others.values())).toEqual(new Set(["before"]));
    expect(new Set(events.values())).not.toContain("c");
  });

  it("an append to a topic that may not be written is refused, and what was sent with it is not", async () => {
    const { opened, log } = await openedAsUser(secure);
    const { topics, config } = opened;
    await setAcl(config, topics.other, AclPermissionTypes.DENY, AclOperationTypes.WRITE);
    const failure = await untilFailed(() => log.append([record(topics.other, "refused")]));
    expect(failure).toHaveProperty("message", expect.stringContaining(`the topic ${topics.other}`));
    const results = await Promise.allSettled([log.append([record(topics.events, "a")]), log.append([record(topics.other, "b")])]);
    expect(results).toMatchObject([{ status: "fulfilled" }, { status: "rejected", reason: { name: "LogRefusedError" } }]);
  });

  it("an owner that may not use its transactional id is refused at once, with the id", async () => {
    const { opened, log } = await openedAsUser(secure);
    const { topics, group, config } = opened;
    await setAcl(config, group, AclPermissionTypes.DENY, AclOperationTypes.WRITE, AclResourceTypes.TRANSACTIONAL_ID);
    const failure = await untilFailed(async () => {
      const owner = await log.own({ group, instance: "one", topic: topics.events, stateTopic: topics.state });
      await owner[Symbol.asyncDispose]();
    });
    expect(failure).toBeInstanceOf(LogRefusedError);
    expect(failure).toHaveProperty("message", expect.stringContaining(`the transactional id ${group}/one`));
  });
});

async function owned({ log, topics, group }: Pick<OpenedLog, "log" | "topics" | "group">): Promise<Owner> {
  const owner = await log.own({ group, instance: "one", topic: topics.events, stateTopic: topics.state });
  onTestFinished(() => owner[Symbol.asyncDispose]());
  await tookOver(owner);
  return owner;
}

/** The same log as everybody sees it and as the user does, who may do everything with it. */
async function openedAsUser({ kafka: { brokers }, addresses }: SecureKafka) {
  const opened = await openedLog({ brokers });
  const name = opened.config.clientId ?? "";
  const resources = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID];
  for (const type of resources) await setAcl(opened.config, name, AclPermissionTypes.ALLOW, AclOperationTypes.ALL, type);
  const options = { brokers: [addresses.SASL_PLAINTEXT], sasl: { mechanism: "plain", username: USER, password: PASSWORD } as const };
  const { log } = await openedLog(options, 1, name);
  return { opened, log };
}

async function setAcl(
  config: KafkaConfig,
  resourceName: string,
  permissionType: AclPermissionTypes,
  operation: AclOperationTypes,
  resourceType = AclResourceTypes.TOPIC,
): Promise<void> {
  const admin = await openedAdmin(config);
  const acl = { resourceType, resourceName, permissionType, operation, principal: `User:${USER}`, host: "*" };
  await admin.createAcls({ acl: [{ ...acl, resourcePatternType: ResourcePatternTypes.PREFIXED }] });
}

/** A broker takes a moment to hear of an ACL. */
async function untilFailed(attempt: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    try {
      await attempt();
    } catch (error) {
      return error;
    }
  }
}

async function setMaxMessageBytes(config: KafkaConfig, topic: string, bytes: number): Promise<void> {
  const admin = await openedAdmin(config);
  const configEntries = [{ name: "max.message.bytes", value: String(bytes) }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] });
}

/** Its key and value have so many bytes. */
function sized(topic: string, key: string, bytes: number): NewRecord {
  return { topic, partition: 0, key, value: new Uint8Array(bytes - key.length) };
}

function asValue(error: unknown): unknown {
  return error;
}
