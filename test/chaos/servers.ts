/** Brokers behind proxies, and a mongod. */

import { type KafkaProxy, startProxy } from "../support/kafka-proxy.ts";
import { type KafkaBroker, startKafkaCluster } from "../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../support/mongo-server.ts";

export interface ChaosServers extends AsyncDisposable {
  readonly brokers: readonly KafkaBroker[];
  readonly proxies: readonly KafkaProxy[];
  /** Where clients begin: the proxies. */
  readonly addresses: readonly string[];
  readonly mongo: MongoServer;
}

export async function startServers(brokers: number): Promise<ChaosServers> {
  await using stack = new AsyncDisposableStack();
  const proxies: KafkaProxy[] = [];
  const advertise = async (address: string): Promise<string> => {
    const proxy = stack.use(await startProxy(address));
    proxies.push(proxy);
    return proxy.address;
  };
  const [kafka, mongo] = await Promise.allSettled([startKafkaCluster(brokers, { advertise }), startMongo()]);
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
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
