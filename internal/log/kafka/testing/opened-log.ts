/** A log with topics of its own on a broker that tests share, and what tests ask of it. */

import { randomUUID } from "node:crypto";
import { onTestFinished } from "vitest";
import { type Log, LogUnavailableError, type NewRecord, type Owner } from "../../../cqrs/log.ts";
import { type KafkaConnection, kafkaConfig } from "../config.ts";
import { createCluster, Kafka, type KafkaConfig } from "../kafkajs.ts";
import type { Assignment, Membership } from "../membership.ts";
import { openKafkaLog } from "../open.ts";

const READ_UNCOMMITTED = 0;
const FETCH = { maxWaitTime: 100, minBytes: 1, maxBytes: 1 << 24, isolationLevel: READ_UNCOMMITTED } as const;

/** A message as kafkajs reads it. */
export interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly isControlRecord: boolean;
  readonly batchContext: { readonly producerEpoch: number; readonly inTransaction: boolean };
}

/** A broker of kafkajs, as far as it reads. */
interface ReadingBroker {
  fetch(options: object): Promise<{
    readonly responses: readonly { readonly partitions: readonly { readonly messages: readonly FetchedMessage[] }[] }[];
  }>;
}

export interface OpenedLog {
  readonly log: Log;
  readonly config: KafkaConfig;
  readonly group: string;
  readonly topics: { readonly events: string; readonly other: string; readonly state: string };
}

/** Under a name that another has, it is opened a second time. */
export async function openedLog(
  server: Pick<KafkaConnection, "brokers" | "sasl">,
  partitions = 1,
  name: string = randomUUID(),
): Promise<OpenedLog> {
  const topics = { events: `${name}.events`, other: `${name}.other`, state: `${name}.state` };
  const { brokers, sasl } = server;
  const connection = { brokers, clientId: name, ...(sasl === undefined ? {} : { sasl }) };
  const log = await openKafkaLog({
    ...connection,
    partitions,
    stateDirectory: null,
    topics: [
      { name: topics.events, retention: "forever" },
      { name: topics.other, retention: "days" },
      { name: topics.state, retention: "latest" },
    ],
  });
  onTestFinished(() => log[Symbol.asyncDispose]());
  return { log, topics, group: `${name}.group`, config: kafkaConfig(connection) };
}

export async function openedAdmin(config: KafkaConfig): Promise<ReturnType<InstanceType<typeof Kafka>["admin"]>> {
  const admin = new Kafka(config).admin();
  await admin.connect();
  onTestFinished(() => admin.disconnect());
  return admin;
}

/** For what must not happen in that time: that it does not can only be seen by waiting. */
export function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function record(topic: string, key: string, partition = 0): NewRecord {
  return { topic, partition, key, value: new TextEncoder().encode(`value of ${key}`) };
}

export async function assigned(membership: Membership): Promise<Assignment> {
  while (membership.assignment === undefined) await membership.changed;
  return membership.assignment;
}

/** Polls until the owner has gained its partitions. */
export async function tookOver(owner: Owner): Promise<void> {
  for (let gained = 0; gained === 0; ) gained = (await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 1_000 })).gained.length;
}

/** What a process does that is started again after its membership was lost for good. */
export async function joinAgain(lost: Owner, join: () => Promise<Owner>): Promise<Owner> {
  await Promise.allSettled([lost[Symbol.asyncDispose]()]);
  return untilJoined(join);
}

/** Also where the coordinator of the group is elected, or the brokers are slow. */
export async function untilJoined(join: () => Promise<Owner>): Promise<Owner> {
  for (;;) {
    try {
      return await join();
    } catch (error) {
      if (!(error instanceof LogUnavailableError)) throw error;
    }
  }
}

/** The keys of everything that was committed to the partition before, from an offset on, by offset. */
export async function contents(log: Log, topic: string, { partition = 0, from = 0 } = {}): Promise<ReadonlyMap<number, string>> {
  const [last = -1] = await log.append([record(topic, "end", partition)]);
  const controller = new AbortController();
  const found = new Map<number, string>();
  for await (const batch of await log.tail({ topic, partition, from, signal: controller.signal })) {
    for (const { offset, key } of batch) found.set(offset, key);
    if ((batch.at(-1)?.offset ?? -1) >= last) controller.abort();
  }
  return new Map([...found].filter(([, key]) => key !== "end"));
}

/** Everything that lies in the first partition: what was aborted and the markers too. */
export async function everything(config: KafkaConfig, topic: string): Promise<readonly FetchedMessage[]> {
  const cluster = createCluster(config);
  try {
    await cluster.connect();
    await cluster.addMultipleTargetTopics([topic]);
    const [nodeId = ""] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
    // By kafkajs's own eyes, since what this adapter reads is what is tested.
    const broker = (await cluster.findBroker({ nodeId })) as unknown as ReadingBroker;
    const topics = [{ topic, partitions: [{ partition: 0, fetchOffset: "0", maxBytes: FETCH.maxBytes }] }];
    const { responses } = await broker.fetch({ ...FETCH, topics });
    return responses.flatMap((response) => response.partitions).flatMap(({ messages }) => messages);
  } finally {
    await cluster.disconnect();
  }
}
