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
  readonly mongo: MongoServer;
  readonly mongoProxies: readonly TcpProxy[];
}

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
    startKafkaCluster(brokers, { advertise: advertiseKafka }),
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
    mongo: mongo.value,
    mongoProxies,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
