/** What an operator does to Kafka itself. */

import { Kafka } from "../../internal/log/kafka/kafkajs.ts";

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
