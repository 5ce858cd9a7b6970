/** What an operator does to Kafka itself. */

import { createRequire } from "node:module";
import type * as KafkaJs from "kafkajs";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";

// Node does not find these names in it by itself.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = createRequire(import.meta.url)(
  "kafkajs",
) as typeof KafkaJs;

export type Admin = ReturnType<InstanceType<typeof Kafka>["admin"]>;

export async function withAdmin<Result>(brokers: readonly string[], ask: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ brokers: [...brokers], clientId: "chaos", logLevel: 0 }).admin();
  await admin.connect();
  try {
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

const TOPIC = 2;

/** Changes one setting of a topic, and keeps the others. Returns what it was. */
export async function changeSetting(admin: Admin, topic: string, name: string, value: string): Promise<string> {
  const { resources } = await admin.describeConfigs({ resources: [{ type: TOPIC, name: topic }], includeSynonyms: false });
  const entries = resources[0]?.configEntries ?? [];
  const former = entries.find(({ configName }) => configName === name)?.configValue ?? "";
  // The request replaces all settings of the topic.
  const own = entries.filter(({ configName, isDefault }) => !isDefault && configName !== name);
  const kept = own.map(({ configName, configValue }) => ({ name: configName, value: configValue }));
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC, name: topic, configEntries: [...kept, { name, value }] }] });
  return former;
}

/** What somebody may do with what Kafka has by a name. */
export interface Right {
  readonly of: "topic" | "group" | "transactional id";
  /** Its name, or how it begins. */
  readonly name: string;
  readonly operation: "read" | "write";
}

/** How Kafka calls those who do not say who they are. */
const EVERYBODY = { principal: "User:ANONYMOUS", host: "*" } as const;

/** Takes a right away from everybody. All others to the same thing stay. */
export async function takeRight(admin: Admin, right: Right): Promise<void> {
  const acl = { ...resourceOf(right), ...EVERYBODY };
  const operation = right.operation === "read" ? AclOperationTypes.READ : AclOperationTypes.WRITE;
  await admin.createAcls({
    acl: [
      // What has an ACL is open to nobody whom none lets in.
      { ...acl, operation: AclOperationTypes.ALL, permissionType: AclPermissionTypes.ALLOW },
      { ...acl, operation, permissionType: AclPermissionTypes.DENY },
    ],
  });
}

export async function giveRightBack(admin: Admin, right: Right): Promise<void> {
  const any = { operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY };
  await admin.deleteAcls({ filters: [{ ...resourceOf(right), ...EVERYBODY, ...any }] });
}

function resourceOf({ of: kind, name }: Right) {
  const types = { topic: AclResourceTypes.TOPIC, group: AclResourceTypes.GROUP, "transactional id": AclResourceTypes.TRANSACTIONAL_ID };
  return { resourceType: types[kind], resourceName: name, resourcePatternType: ResourcePatternTypes.PREFIXED };
}
