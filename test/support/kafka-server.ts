/** A real Kafka for tests: brokers in KRaft mode, on free ports of 127.0.0.1, each with a folder of its own. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";
import { freePorts } from "./ports.ts";
import { kafka, type ServerSource } from "./servers.ts";

/** A broker needs about 5 s on an idle machine with two cores, and much longer beside other work. */
const START_DEADLINE_MS = 180_000;
const RETRY_MS = 100;
/** Small heap, and the compiler and collector that start soonest. */
const JVM_OPTIONS = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

export interface KafkaOptions {
  /** Settings of server.properties beside ours, or in their place. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Listeners of a single broker beside the plain one: the address of each security protocol, such as SASL_SSL. */
  readonly listeners?: Readonly<Record<string, string>>;
  /** The passwords of users who log in by SCRAM. */
  readonly scramPasswords?: Readonly<Record<string, string>>;
  /** What clients and other brokers are told instead of a broker's address, such as the address of a proxy before it. */
  readonly advertise?: (address: string) => Promise<string>;
}

export interface KafkaBroker {
  /** Its address, as `brokers` has it. */
  readonly address: string;
  /** Its process, to stop and continue it. */
  readonly pid: number;
  /** What it keeps; one folder per topic and partition. */
  readonly dataDirectory: string;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on its port and data, after a clean stop if it still runs, and waits until it answers. */
  restart(): Promise<void>;
}

export interface KafkaServer extends KafkaBroker, AsyncDisposable {
  readonly brokers: string[];
}

export interface KafkaCluster extends AsyncDisposable {
  readonly brokers: string[];
  readonly nodes: readonly KafkaBroker[];
}

/** Starts one broker, or takes the one in KAFKA_BROKERS: that one cannot be killed, and other tests may have left topics there. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const source = found();
  if (source.kind === "running") return foreignServer(source.address.split(","));
  const cluster = await startKafkaCluster(1, options);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("a cluster of one has no node");
  return {
    brokers: cluster.brokers,
    address: node.address,
    get pid() {
      return node.pid;
    },
    dataDirectory: node.dataDirectory,
    kill: node.kill,
    restart: node.restart,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

/** Starts brokers that replicate everything to one another and acknowledge when all but one have it. Each is a controller too. */
export async function startKafkaCluster(size: number, options: KafkaOptions = {}): Promise<KafkaCluster> {
  const { settings = {}, listeners = {}, scramPasswords = {}, advertise = (address) => Promise.resolve(address) } = options;
  const source = found();
  if (source.kind === "running") throw new Error("a cluster is started from the jars, not taken from KAFKA_BROKERS");
  const ports = await freePorts(2 * size);
  const brokers = ports.slice(0, size).map((port) => `127.0.0.1:${port}`);
  const controllers = ports.slice(size).map((port) => `127.0.0.1:${port}`);
  const clusterId = `h${randomBytes(16).toString("base64url").slice(1)}`;
  const common = {
    libraries: source.path,
    clusterId,
    controllers,
    settings: { ...replication(size), ...settings },
    listeners,
    scramPasswords,
  };
  const nodes = await Promise.all(
    brokers.map(async (address, index) => createNode({ ...common, index, address, advertised: await advertise(address) })),
  );
  const stop = async (): Promise<void> => void (await Promise.all(nodes.map((node) => node.remove())));
  try {
    await Promise.all(nodes.map((node) => node.start()));
    await untilAnswering(brokers, size, () => nodes.map((node) => node.failure()).find((failure) => failure !== undefined));
  } catch (error) {
    await stop();
    throw error;
  }
  return { brokers, nodes, [Symbol.asyncDispose]: stop };
}

interface NodeOptions {
  readonly libraries: string;
  readonly clusterId: string;
  readonly index: number;
  readonly address: string;
  readonly advertised: string;
  readonly controllers: readonly string[];
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly listeners: Readonly<Record<string, string>>;
  readonly scramPasswords: Readonly<Record<string, string>>;
}

interface KafkaNode extends KafkaBroker {
  start(): Promise<void>;
  /** Why it will not answer any more; undefined while it runs. */
  failure(): string | undefined;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

async function createNode({ libraries, clusterId, scramPasswords, ...options }: NodeOptions): Promise<KafkaNode> {
  const { address, controllers } = options;
  const folder = await mkdtemp(join(tmpdir(), "headwater-kafka-"));
  const dataDirectory = join(folder, "data");
  const properties = join(folder, "server.properties");
  const java = (main: string, ...args: readonly string[]): GuardedProcess =>
    startGuarded("java", [...JVM_OPTIONS, "-cp", join(libraries, "*"), main, ...args], folder);
  let formatted = false;
  let running: GuardedProcess | undefined;
  let ended = false;

  const start = async (): Promise<void> => {
    if (!formatted) {
      await writeFile(properties, propertiesOf({ ...options, dataDirectory }));
      const users = Object.entries(scramPasswords).flatMap(([name, password]) =>
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => ["--add-scram", `${mechanism}=[name=${name},password=${password}]`]),
      );
      await java("kafka.tools.StorageTool", "format", "-t", clusterId, "-c", properties, ...users).exited;
      formatted = true;
    }
    const started = java("kafka.Kafka", properties);
    running = started;
    ended = false;
    void started.exited.then(() => {
      ended ||= running === started;
    });
  };
  const kill = async (): Promise<void> => {
    await running?.end("SIGKILL");
  };
  const failure = (): string | undefined => (ended ? `Kafka ended at its start:\n${running?.output()}` : undefined);
  return {
    address,
    dataDirectory,
    get pid() {
      return running?.pid ?? 0;
    },
    start,
    kill,
    failure,
    async restart() {
      await running?.end("SIGTERM");
      await start();
      await untilAnswering([address], controllers.length, failure);
    },
    async remove() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function propertiesOf({
  index,
  address,
  advertised,
  controllers,
  settings,
  listeners,
  dataDirectory,
}: Omit<NodeOptions, "libraries" | "clusterId" | "scramPasswords"> & { readonly dataDirectory: string }): string {
  const others = Object.entries(listeners);
  const offeredAt = (plain: string): readonly string[] => [
    `PLAINTEXT://${plain}`,
    ...others.map(([protocol, other]) => `${protocol}://${other}`),
  ];
  const all = {
    "process.roles": "broker,controller",
    "node.id": index + 1,
    "controller.quorum.voters": controllers.map((controller, voter) => `${voter + 1}@${controller}`).join(","),
    listeners: [...offeredAt(address), `CONTROLLER://${controllers[index]}`].join(","),
    "advertised.listeners": offeredAt(advertised).join(","),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": [
      "CONTROLLER:PLAINTEXT",
      ...["PLAINTEXT", ...Object.keys(listeners)].map((name) => `${name}:${name}`),
    ].join(),
    "log.dirs": dataDirectory,
    "auto.create.topics.enable": false,
    // Few, so that the first group and the first transaction do not wait for fifty folders.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    // An abandoned transaction is ended this soon after its time is up.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    // A broker that was killed may register again only when its former session has timed out; the default is 9 s.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    ...settings,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

function replication(size: number): Readonly<Record<string, number>> {
  const inSync = Math.max(1, size - 1);
  return {
    "default.replication.factor": size,
    "min.insync.replicas": inSync,
    "offsets.topic.replication.factor": size,
    "transaction.state.log.replication.factor": size,
    "transaction.state.log.min.isr": inSync,
    "share.coordinator.state.topic.replication.factor": size,
    "share.coordinator.state.topic.min.isr": inSync,
  };
}

/** Waits until the brokers say that there are so many of them, with a controller. */
async function untilAnswering(brokers: string[], size: number, failure: () => string | undefined): Promise<void> {
  const client = new Kafka({ brokers, clientId: "test-support", logLevel: 0, retry: { retries: 0 } });
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const failed = failure();
    if (failed !== undefined) throw new Error(failed);
    if (await answers(client, size)) return;
    if (Date.now() > deadline) throw new Error(`no answer of Kafka at ${brokers.join(",")} in ${START_DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function answers(client: InstanceType<typeof Kafka>, size: number): Promise<boolean> {
  const admin = client.admin();
  try {
    await admin.connect();
    const { brokers, controller } = await admin.describeCluster();
    return brokers.length === size && controller !== null && controller >= 0;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

function foreignServer(brokers: string[]): KafkaServer {
  const refuse = (): Promise<never> => Promise.reject(new Error("the Kafka in KAFKA_BROKERS is not ours to stop"));
  const [address = ""] = brokers;
  return { brokers, address, pid: 0, dataDirectory: "", kill: refuse, restart: refuse, [Symbol.asyncDispose]: () => Promise.resolve() };
}

function found(): ServerSource {
  if (kafka === undefined) throw new Error("Kafka is missing: npm run servers fetches it");
  return kafka;
}
