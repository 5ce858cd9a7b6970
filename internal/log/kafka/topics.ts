/** Creates topics with the settings that the log's promises need, and refuses those that have others. */

import type { Admin } from "kafkajs";
import type { Retention, Topic } from "../../cqrs/log.ts";
import { throughElections } from "./elections.ts";
import { ConfigResourceTypes, Kafka, type KafkaConfig } from "./kafkajs.ts";
import { MAX_RECORD_BYTES } from "./produce.ts";
import { fetchTopicIds } from "./topic-ids.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** Room for a record's headers and the batch around it. */
const RECORD_OVERHEAD_BYTES = 64 * 1024;

const common = {
  "max.message.bytes": String(MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES),
  "message.timestamp.type": "LogAppendTime",
  "unclean.leader.election.enable": "false",
} as const;

/** The settings of each kind of topic. */
const settings: Readonly<Record<Retention, Readonly<Record<string, string>>>> = {
  forever: { ...common, "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1" },
  latest: { ...common, "cleanup.policy": "compact", "retention.ms": "-1" },
  days: { ...common, "cleanup.policy": "delete", "retention.ms": String(7 * DAY_MS), "retention.bytes": "-1" },
  live: { ...common, "cleanup.policy": "delete", "retention.ms": String(10 * 60 * 1000), "segment.ms": String(10 * 60 * 1000) },
};

/** What loses records if it is otherwise, so an existing topic is refused. */
const checkedSettings = ["cleanup.policy", "retention.ms", "unclean.leader.election.enable"] as const;

export interface TopicOptions {
  readonly topics: readonly Topic[];
  /** Absent: what they have; then none is created. */
  readonly partitions?: number;
  /** Copies of each partition; -1 takes the brokers' default. */
  readonly replicationFactor: number;
}

/**
 * Makes sure that all topics exist as they must be, and returns the cluster's id, their number of partitions and their ids.
 *
 * @throws {Error} a topic has another number of partitions or other settings; the message names the fix
 */
export async function ensureTopics(
  config: KafkaConfig,
  options: TopicOptions,
): Promise<{ readonly id: string; readonly partitions: number; readonly topicIds: ReadonlyMap<string, string> }> {
  const { topics, replicationFactor } = options;
  const admin = new Kafka(config).admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter(({ name }) => !existing.has(name));
    if (missing.length > 0) {
      if (options.partitions === undefined) {
        const names = missing.map(({ name }) => name).join(", ");
        throw new Error(`the brokers at ${String(config.brokers)} have no topic ${names}; has a process of this system run on them?`);
      }
      await admin.createTopics({
        waitForLeaders: false,
        topics: missing.map(({ name, retention }) => ({
          topic: name,
          numPartitions: options.partitions ?? -1,
          replicationFactor,
          configEntries: Object.entries(settings[retention]).map(([key, value]) => ({ name: key, value })),
        })),
      });
    }
    const present = topics.filter(({ name }) => existing.has(name));
    const { topics: described } = await throughElections(() => admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) }));
    const partitions = options.partitions ?? described[0]?.partitions.length ?? 0;
    for (const { name, partitions: found } of described) {
      if (found.length === partitions) continue;
      throw new Error(
        `the topic ${name} has ${found.length} partitions, not ${partitions}: the number is fixed, since keys would change their partition`,
      );
    }
    // A leader that is named may not know it yet. Who appends before it does gets an error, and writes twice when it tries again.
    for (const { name } of missing) await throughElections(() => admin.fetchTopicOffsets(name));
    if (present.length > 0) await checkSettings(admin, present);
    const { clusterId } = await admin.describeCluster();
    const names = topics.map(({ name }) => name);
    const topicIds = await throughElections(() => fetchTopicIds(config, names));
    return { id: clusterId, partitions, topicIds };
  } finally {
    await admin.disconnect();
  }
}

async function checkSettings(admin: Admin, topics: readonly Topic[]): Promise<void> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ name }) => ({ type: ConfigResourceTypes.TOPIC, name, configNames: [...checkedSettings] })),
  });
  for (const { resourceName, configEntries } of resources) {
    const retention = topics.find(({ name }) => name === resourceName)?.retention;
    for (const { configName, configValue } of configEntries) {
      const wanted = retention === undefined ? undefined : settings[retention][configName];
      if (wanted === undefined || wanted === configValue) continue;
      throw new Error(`the topic ${resourceName} has ${configName}=${configValue}, but needs ${wanted}; set it with kafka-configs`);
    }
  }
}
