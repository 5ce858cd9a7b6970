/** Creates topics with the settings that the log's promises need, and refuses those that have others. */

import type { Admin, ITopicMetadata } from "kafkajs";
import { LogRefusedError, type Topic } from "../../cqrs/log.ts";
import { throughElections } from "./elections.ts";
import { ConfigResourceTypes, Kafka, type KafkaConfig } from "./kafkajs.ts";
import { fetchTopicIds } from "./topic-ids.ts";
import { checkedSettings, settingsOf, wrongSettings } from "./topic-settings.ts";

/** Enough to use several handlers, few enough that a small machine does not notice. */
const DEFAULT_PARTITIONS = 8;

export interface TopicOptions {
  readonly topics: readonly Topic[];
  /** Of topics that are created; where there are topics, it must be theirs. Absent: what they have, or {@link DEFAULT_PARTITIONS}. */
  readonly partitions?: number | undefined;
  /** Copies of each partition, of topics that are created; -1 takes the brokers' default. */
  readonly replicationFactor: number;
  /** Whether topics that are missing are created. */
  readonly mayCreate: boolean;
  /** Told what is wrong with topics that are there, for who only reads them. Absent: such topics are refused. */
  readonly onProblem?: ((problem: string) => void) | undefined;
}

/** What the topics are, together. */
export interface FoundTopics {
  /** The cluster's id. */
  readonly id: string;
  readonly partitions: number;
  /** By name. */
  readonly topicIds: ReadonlyMap<string, string>;
}

/**
 * Makes sure that all topics exist as they must be.
 *
 * @throws {LogRefusedError} one is missing and is not to be created, or has another number of
 *   partitions or other settings than it needs, and nobody is told; the message names the fix
 */
export async function ensureTopics(config: KafkaConfig, options: TopicOptions): Promise<FoundTopics> {
  const { topics } = options;
  const names = topics.map(({ name }) => name);
  const admin = new Kafka(config).admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter(({ name }) => !existing.has(name));
    const present = await describe(
      admin,
      names.filter((name) => existing.has(name)),
    );
    const partitions = partitionsOf(present, options);
    if (missing.length > 0) {
      if (!options.mayCreate) {
        const absent = missing.map(({ name }) => name).join(", ");
        throw new LogRefusedError(
          `the brokers at ${String(config.brokers)} have no topic ${absent}; has a process of this system run on them?`,
        );
      }
      await create(admin, missing, { ...options, partitions });
    }
    const described = missing.length === 0 ? present : await describe(admin, names);
    // Another process may have created some of them meanwhile, with another number.
    if (missing.length > 0) partitionsOf(described, { ...options, partitions });
    // A leader that is named may not know it yet. Who appends before it does gets an error, and writes twice when it tries again.
    for (const { name } of missing) await throughElections(() => admin.fetchTopicOffsets(name));
    refuse(await wrongSettingsOf(admin, topics, described), options, "records could be lost or refused.\n");
    const { clusterId } = await admin.describeCluster();
    const topicIds = await throughElections(() => fetchTopicIds(config, names));
    return { id: clusterId, partitions, topicIds };
  } finally {
    await admin.disconnect();
  }
}

async function describe(admin: Admin, names: readonly string[]): Promise<readonly ITopicMetadata[]> {
  // Of none, all would be described.
  if (names.length === 0) return [];
  const { topics } = await throughElections(() => admin.fetchTopicMetadata({ topics: [...names] }));
  return topics;
}

async function create(
  admin: Admin,
  topics: readonly Topic[],
  { partitions, replicationFactor }: { readonly partitions: number; readonly replicationFactor: number },
): Promise<void> {
  await admin.createTopics({
    waitForLeaders: false,
    topics: topics.map(({ name, retention }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor,
      configEntries: Object.entries(settingsOf(retention, replicationFactor)).map(([key, value]) => ({ name: key, value })),
    })),
  });
}

/** The number of partitions that all topics have. A key's partition follows from it, so it is never changed. */
function partitionsOf(topics: readonly ITopicMetadata[], options: Pick<TopicOptions, "partitions" | "onProblem">): number {
  const { partitions: configured } = options;
  const counts = topics.map(({ name, partitions }) => ({ name, count: partitions.length })).toSorted((a, b) => a.count - b.count);
  const [fewest] = counts;
  const most = counts.at(-1);
  if (fewest === undefined || most === undefined) return configured ?? DEFAULT_PARTITIONS;
  if (fewest.count !== most.count) {
    const problem =
      `the topic ${most.name} has ${most.count} partitions, and ${fewest.name} has ${fewest.count}. All topics of a log have the same number, ` +
      "which is fixed, since keys would change their partition. Where partitions were added, export the log and import it into new topics";
    refuse([problem], options);
  }
  if (configured !== undefined && configured !== fewest.count) {
    throw new LogRefusedError(
      `the topics have ${fewest.count} partitions, not ${configured}. The number is fixed when they are created, since keys would change ` +
        "their partition: leave --partitions (HEADWATER_PARTITIONS) out",
    );
  }
  return fewest.count;
}

/** Tells who only reads, and refuses everybody else. */
function refuse(problems: readonly string[], { onProblem }: Pick<TopicOptions, "onProblem">, introduction = ""): void {
  if (problems.length === 0) return;
  if (onProblem === undefined) throw new LogRefusedError(`${introduction}${problems.join("\n")}`);
  problems.forEach(onProblem);
}

async function wrongSettingsOf(admin: Admin, topics: readonly Topic[], described: readonly ITopicMetadata[]): Promise<readonly string[]> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ name, retention }) => ({
      type: ConfigResourceTypes.TOPIC,
      name,
      configNames: [...checkedSettings(retention)],
    })),
  });
  const values = new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  );
  const wrong = topics.flatMap(({ name, retention }) => {
    const replicas = Math.min(...(described.find((topic) => topic.name === name)?.partitions.map((each) => each.replicas.length) ?? []));
    return wrongSettings({ retention, replicas }, values.get(name) ?? new Map()).map((found) => ({ name, ...found }));
  });
  return wrong.map(
    ({ name, setting, value, fix }) =>
      `the topic ${name} has ${setting}=${value}: kafka-configs --alter --entity-type topics --entity-name ${name} --add-config ${setting}=${fix}`,
  );
}
