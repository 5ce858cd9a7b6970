import { randomUUID } from "node:crypto";
import {
  type ConsumeOptions,
  type LatestValue,
  type Log,
  LogRefusedError,
  type NewRecord,
  type OwnOptions,
  type TailOptions,
  type Topic,
} from "../../cqrs/log.ts";
import { checkSize } from "../../cqrs/record-bytes.ts";
import { startAppender } from "./appender.ts";
import { groupMember } from "./assigner.ts";
import { type KafkaConnection, kafkaConfig } from "./config.ts";
import { startConsumer } from "./consumer.ts";
import { throughElections } from "./elections.ts";
import { reaching } from "./errors.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, Kafka, type KafkaConfig } from "./kafkajs.ts";
import { startOwner } from "./owner.ts";
import type { KafkaRecord } from "./record-batch.ts";
import { fetchTopicIds } from "./topic-ids.ts";
import { ensureTopics } from "./topics.ts";

export interface KafkaLogOptions extends KafkaConnection {
  readonly topics: readonly Topic[];
  /** Of topics that are created; where there are topics, it must be theirs. Absent: what they have, or 8. */
  readonly partitions?: number;
  /** Whether topics that are missing are created. Default true. */
  readonly mayCreate?: boolean;
  /** Told what is wrong with topics that are there, for who only reads them. Absent: such topics are refused. */
  readonly onProblem?: (problem: string) => void;
  /** Copies of each partition, for topics that are created; -1 takes the brokers' default. */
  readonly replicationFactor?: number;
  /** Where an owner keeps its local copy of the state, one folder per instance; null keeps it in memory. */
  readonly stateDirectory: string | null;
}

/** What a tail returns at once. */
const TAIL_BATCH = { maxRecords: 1_000, maxBytes: 4 * 1024 * 1024 } as const;

/**
 * Opens the log on a Kafka cluster, and creates the topics that are missing.
 *
 * @throws {LogUnavailableError} the cluster does not answer
 * @throws {LogRefusedError} it has topics with other settings, or another number of partitions, and nobody is told
 * @throws {Error} it refuses this client
 */
export function openKafkaLog(options: KafkaLogOptions): Promise<Log> {
  return reaching(() => open(options));
}

async function open(options: KafkaLogOptions): Promise<Log> {
  const { topics, replicationFactor = -1, mayCreate = true, stateDirectory } = options;
  const config = kafkaConfig(options);
  const { id, partitions, topicIds } = await ensureTopics(config, { ...options, replicationFactor, mayCreate });
  await using stack = new AsyncDisposableStack();
  const appender = stack.use(await startAppender(config));
  const admin = new Kafka(config).admin();
  await admin.connect();
  stack.defer(() => admin.disconnect());
  const retentions = new Map(topics.map(({ name, retention }) => [name, retention]));
  const members = new Set<AsyncDisposable>();
  const owned = stack.move();

  const log = {
    id,
    partitions,
    topicId(topic: string) {
      const topicId = topicIds.get(topic);
      if (topicId === undefined) throw new TypeError(`the log was opened without the topic ${topic}`);
      return topicId;
    },
  };

  return {
    ...log,
    guarantees: { durable: true, gaplessOffsets: false },
    async append(records) {
      records.forEach(check);
      const offsets = await appender.append(records);
      return offsets.map((offset, index) => (hasOffsets(records[index]?.topic ?? "") ? offset : -1));
    },
    consume: (consume: ConsumeOptions) =>
      kept(
        reaching(async () => {
          await checkTopics();
          return startConsumer(config, consume, partitions);
        }),
      ),
    own: (own: OwnOptions) =>
      kept(
        reaching(async () => {
          await checkTopics();
          return startOwner({ config, log, stateDirectory, check }, own);
        }),
      ),
    tail: (tail) => reaching(() => startTail(config, tail)),
    async ends(topic) {
      const offsets = await reaching(() => throughElections(() => admin.fetchTopicOffsets(topic)));
      return byPartition(offsets.map(({ partition, high }) => [partition, Number(high)]));
    },
    async begins(topic) {
      const offsets = await reaching(() => throughElections(() => admin.fetchTopicOffsets(topic)));
      return byPartition(offsets.map(({ partition, low }) => [partition, Number(low)]));
    },
    async members(group) {
      const { groups } = await reaching(() => admin.describeGroups([group]));
      return groups.flatMap(({ members: described }) => described.flatMap((member) => groupMember(member) ?? []));
    },
    latest: (topic, partition, keys) => readLatest(config, { topic, partition, keys }),
    async committed(group, topic) {
      const [found] = await reaching(() => admin.fetchOffsets({ groupId: group, topics: [topic] }));
      return byPartition((found?.partitions ?? []).map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]));
    },
    async [Symbol.asyncDispose]() {
      for (const member of members) await member[Symbol.asyncDispose]();
      await owned.disposeAsync();
    },
  };

  /** A member may join again after a long outage: positions of the topics that were there do not fit others. */
  async function checkTopics(): Promise<void> {
    const present = await throughElections(() => fetchTopicIds(config, [...topicIds.keys()]));
    const other = [...topicIds.keys()].find((topic) => present.get(topic) !== topicIds.get(topic));
    if (other !== undefined) throw new LogRefusedError(`the topic ${other} was created again since this process began: start it again`);
  }

  /** What a broker would refuse, or take although it must not, is refused before it spoils the batch that it would travel in. */
  function check(record: NewRecord): void {
    const { topic, partition, value } = record;
    const retention = retentions.get(topic);
    if (retention === undefined) throw new TypeError(`the log was opened without the topic ${topic}`);
    if (!Number.isInteger(partition) || partition < 0 || partition >= partitions)
      throw new RangeError(`${topic} has no partition ${partition}`);
    if (value === null && retention !== "latest")
      throw new TypeError(`${topic} does not keep the latest value of a key: nothing to delete`);
    checkSize(record);
  }

  function hasOffsets(topic: string): boolean {
    const retention = retentions.get(topic);
    return retention === "forever" || retention === "days";
  }

  /** Closes a member with the log, unless it has left before. */
  async function kept<Member extends AsyncDisposable>(starting: Promise<Member>): Promise<Member> {
    const member = await starting;
    const leave = member[Symbol.asyncDispose].bind(member);
    members.add(member);
    return Object.assign(member, {
      [Symbol.asyncDispose]: async () => {
        members.delete(member);
        await leave();
      },
    });
  }

  function byPartition(entries: readonly (readonly [number, number])[]): readonly number[] {
    const found = new Map(entries);
    return Array.from({ length: partitions }, (_, partition) => found.get(partition) ?? 0);
  }
}

async function startTail(
  config: KafkaConfig,
  { topic, partition, from, to = Number.POSITIVE_INFINITY, signal }: TailOptions,
): Promise<AsyncIterable<readonly KafkaRecord[]>> {
  await using opened = new AsyncDisposableStack();
  const fetcher = opened.use(await openFetcher(config, topic));
  const start = from === "end" ? ((await fetcher.ends([partition])).get(partition) ?? 0) : from;
  fetcher.seek(partition, start);
  opened.move();
  return follow(fetcher, { partition, to, signal });
}

interface Wanted {
  readonly topic: string;
  readonly partition: number;
  readonly keys: readonly string[] | undefined;
}

/** From the first record to the end there is now. */
async function* readLatest(config: KafkaConfig, { topic, partition, keys }: Wanted): AsyncGenerator<readonly LatestValue[]> {
  const isWanted = keys === undefined ? () => true : (key: string) => keys.includes(key);
  await using fetcher = await reaching(() => openFetcher(config, topic));
  const [begins, ends] = await Promise.all([fetcher.beginnings([partition]), fetcher.ends([partition])]);
  fetcher.seek(partition, begins.get(partition) ?? 0);
  const signal = new AbortController().signal;
  for await (const records of follow(fetcher, { partition, to: ends.get(partition) ?? 0, signal })) {
    const wanted = records.filter(({ key }) => isWanted(key));
    yield wanted.map(({ key, value, deleted }) => ({ key, value: deleted === true ? null : value }));
  }
}

async function openFetcher(config: KafkaConfig, topic: string): Promise<Fetcher> {
  const fetcher = new Fetcher(createCluster({ ...config, clientId: `${config.clientId ?? "headwater"}-tail-${randomUUID()}` }), topic);
  try {
    await fetcher.open();
    return fetcher;
  } catch (error) {
    await fetcher.close();
    throw error;
  }
}

async function* follow(
  fetcher: Fetcher,
  { partition, to, signal }: { readonly partition: number; readonly to: number; readonly signal: AbortSignal },
): AsyncGenerator<readonly KafkaRecord[]> {
  const wake = (): void => fetcher.wake();
  signal.addEventListener("abort", wake);
  try {
    while (!signal.aborted) {
      // Before the records are taken: what has arrived by then, the position is behind.
      const position = fetcher.position(partition) ?? 0;
      const records = fetcher.take(TAIL_BATCH).filter(({ offset }) => offset < to);
      if (records.length > 0) yield records;
      else if (position >= to) return;
      else await fetcher.changed;
    }
  } finally {
    signal.removeEventListener("abort", wake);
    await fetcher.close();
  }
}
