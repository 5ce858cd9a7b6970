/** Brokers and the members of a replica set, all behind proxies. */

import { type KafkaProxy, startProxy } from "../support/kafka-proxy.ts";
import { type KafkaBroker, startKafkaCluster } from "../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../support/mongo-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

export interface ChaosServers extends AsyncDisposable {
  readonly brokers: readonly KafkaBroker[];
  readonly proxies: readonly KafkaProxy[];
  /** Where clients begin: the proxies. */
  readonly addresses: readonly string[];
  /** Whether Kafka can take rights away. */
  readonly isAuthorizing: boolean;
  readonly mongo: MongoServer;
  readonly mongoProxies: readonly TcpProxy[];
}

/**
 * Everybody may do everything until a right is taken away, brokers too. Several brokers could not
 * elect a controller then: a controller asks for rights that it reads from the others.
 */
const AUTHORIZING = {
  "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "allow.everyone.if.no.acl.found": true,
} as const;

export interface ServersOptions {
  readonly brokers: number;
  /** Of the replica set. Default: one. */
  readonly members?: number;
}

export async function startServers({ brokers, members = 1 }: ServersOptions): Promise<ChaosServers> {
  await using stack = new AsyncDisposableStack();
  const proxies: KafkaProxy[] = [];
  const mongoProxies: TcpProxy[] = [];
  const advertiseKafka = async (address: string): Promise<string> => {
    const proxy = stack.use(await startProxy(address));
    proxies.push(proxy);
    return proxy.address;
  };
  const advertiseMongo = async (address: string): Promise<string> => {
    const proxy = stack.use(await startTcpProxy(address));
    mongoProxies.push(proxy);
    return proxy.address;
  };
  const [kafka, mongo] = await Promise.allSettled([
    startKafkaCluster(brokers, { advertise: advertiseKafka, settings: brokers === 1 ? AUTHORIZING : {} }),
    startMongo({ members, advertise: advertiseMongo }),
  ]);
  if (kafka.status === "fulfilled") stack.use(kafka.value);
  if (mongo.status === "fulfilled") stack.use(mongo.value);
  if (kafka.status === "rejected") throw kafka.reason;
  if (mongo.status === "rejected") throw mongo.reason;
  const owned = stack.move();
  return {
    brokers: kafka.value.nodes,
    proxies,
    addresses: proxies.map(({ address }) => address),
    isAuthorizing: brokers === 1,
    mongo: mongo.value,
    mongoProxies,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
