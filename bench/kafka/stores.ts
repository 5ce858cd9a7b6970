/** The broker and the mongod of a run: started for it, or those that the environment names. Every measurement finds them empty. */

import { setTimeout as delay } from "node:timers/promises";
import { type Admin, logLevel } from "kafkajs";
import { MongoClient } from "mongodb";
import type { Log, Topic } from "../../internal/cqrs/log.ts";
import { connectMongoDocuments, type MongoDocuments } from "../../internal/documents/mongo/connect.ts";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";
import { openKafkaLog } from "../../internal/log/kafka/open.ts";
import { startKafka } from "../../test/support/kafka-server.ts";
import { startMongo } from "../../test/support/mongo-server.ts";
import { orderGroups, orderTopics } from "../../test/support/order-domain.ts";
import type { Servers } from "../../test/support/processes.ts";
import type { Bench } from "../measurement.ts";

/** Topics and databases whose names begin so are the bench's own. */
export const OWN_PREFIX = "headwater-bench";

const PARTITIONS = 8;

/** Members that were killed are in their groups until their session is over. */
const GROUPS_EMPTY_AFTER_MS = 15_000;
const RETRY_MS = 200;

/** Where everything is; the processes of Headwater are started with it. */
export interface Stores extends Servers, AsyncDisposable {
  readonly database: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Removes what the measurement before has left. */
  empty(): Promise<void>;
}

/** What a measurement on Kafka is given. */
export interface KafkaBench extends Bench {
  readonly stores: Stores;
}

/** @throws {Error} a server is missing, or a broker that runs already has orders */
export async function startStores(): Promise<Stores> {
  await using stack = new AsyncDisposableStack();
  const [kafka, mongo] = await Promise.all([startKafka(), startMongo()]);
  stack.use(kafka);
  stack.use(mongo);
  await refuseOrders(kafka.brokers);
  const empty = async (): Promise<void> => {
    await removeTopics(kafka.brokers);
    await dropDatabases(mongo.uri);
  };
  stack.defer(empty);
  const owned = stack.move();
  return {
    brokers: kafka.brokers,
    mongoUri: mongo.uri,
    database: OWN_PREFIX,
    environment: { HEADWATER_MONGO_DATABASE: OWN_PREFIX },
    empty,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function openLog({ brokers }: Stores, topics: readonly Topic[] = Object.values(orderTopics)): Promise<Log> {
  return openKafkaLog({ brokers, clientId: OWN_PREFIX, topics, partitions: PARTITIONS, stateDirectory: null });
}

export function openDocuments({ mongoUri, database }: Pick<Stores, "mongoUri" | "database">): Promise<MongoDocuments> {
  return connectMongoDocuments({ uri: mongoUri, database });
}

/** A cluster that somebody else uses is left alone: emptying it would delete his orders. */
async function refuseOrders(brokers: readonly string[]): Promise<void> {
  const found = await withAdmin(brokers, (admin) => admin.listTopics());
  const taken = found.find(isRemoved);
  if (taken !== undefined)
    throw new Error(`the Kafka at ${brokers.join()} has a topic ${taken}, which the bench would delete: give it another`);
}

async function removeTopics(brokers: readonly string[]): Promise<void> {
  await withAdmin(brokers, async (admin) => {
    const topics = (await admin.listTopics()).filter(isRemoved);
    const { groups } = await admin.listGroups();
    // A peer's group has a name that no other run takes, and may keep members for a while: nobody minds what is left of it.
    const isOwn = (groupId: string): boolean => Object.values(orderGroups).some((name) => groupId.startsWith(name));
    const groupIds = groups.map(({ groupId }) => groupId).filter(isOwn);
    if (groupIds.length > 0) {
      await untilWithoutMembers(admin, groupIds);
      await admin.deleteGroups(groupIds);
    }
    if (topics.length > 0) await admin.deleteTopics({ topics });
  });
}

async function untilWithoutMembers(admin: Admin, groupIds: string[]): Promise<void> {
  const deadlineMs = Date.now() + GROUPS_EMPTY_AFTER_MS;
  while (true) {
    const { groups } = await admin.describeGroups(groupIds);
    if (groups.every(({ members }) => members.length === 0)) return;
    if (Date.now() > deadlineMs) throw new Error(`${groupIds.join()}: one of these groups still has members`);
    await delay(RETRY_MS);
  }
}

async function dropDatabases(uri: string): Promise<void> {
  await using client = new MongoClient(uri);
  const { databases } = await client.db().admin().listDatabases();
  for (const { name } of databases.filter((database) => database.name.startsWith(OWN_PREFIX))) await client.db(name).dropDatabase();
}

function isRemoved(topic: string): boolean {
  return topic.startsWith(OWN_PREFIX) || Object.values(orderTopics).some(({ name }) => name === topic);
}

async function withAdmin<Result>(brokers: readonly string[], use: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ brokers: [...brokers], clientId: OWN_PREFIX, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}
