/** Kafka, as the processes are configured to reach it. */

import type { Log, Topic } from "../cqrs/log.ts";
import { type KafkaLogOptions, openKafkaLog } from "../log/kafka/open.ts";
import { ConfigError, readOptionFile, type ValuesOf, variableOf } from "../platform/config.ts";
import type { kafkaOptions } from "./options.ts";
import { type Attempts, openThroughOutages } from "./outages.ts";

type TopicOption = "partitions" | "replication-factor";

/** Without options for topics, none of them is created. */
type KafkaConfig = Omit<ValuesOf<typeof kafkaOptions>, TopicOption> & Partial<Pick<ValuesOf<typeof kafkaOptions>, TopicOption>>;

/** Which process connects, and where it keeps its copy of the state. */
export interface KafkaClient {
  readonly clientId: string;
  readonly topics: readonly Topic[];
  /** null: nothing on disk. */
  readonly stateDirectory: string | null;
  /** Told what is wrong with the topics, by who only reads them. Absent: they are refused. */
  readonly onProblem?: (problem: string) => void;
}

/**
 * Opens the log, and waits for Kafka while it is away; without attempts it does not wait.
 *
 * @throws {ConfigError} settings that cannot be used
 * @throws {LogUnavailableError} it is away, and nobody waits
 */
export function openKafka(
  config: KafkaConfig,
  { clientId, topics, stateDirectory, onProblem }: KafkaClient,
  attempts?: Attempts,
): Promise<Log> {
  const options: KafkaLogOptions = {
    brokers: config["kafka-brokers"],
    clientId,
    topics,
    mayCreate: config.partitions !== undefined,
    ...(config.partitions ? { partitions: config.partitions } : {}),
    ...(config["replication-factor"] === undefined ? {} : { replicationFactor: config["replication-factor"] }),
    stateDirectory,
    ...(onProblem === undefined ? {} : { onProblem }),
    ...tlsOf(config),
    ...saslOf(config),
  };
  return attempts === undefined ? openKafkaLog(options) : openThroughOutages(() => openKafkaLog(options), attempts);
}

function tlsOf(config: KafkaConfig): Pick<KafkaLogOptions, "ssl"> {
  const files = { ca: "kafka-ca-file", cert: "kafka-cert-file", key: "kafka-key-file" } as const;
  const given = Object.entries(files).filter(([, name]) => config[name] !== "");
  const [, first] = given[0] ?? [];
  if (!config["kafka-tls"]) {
    if (first !== undefined) throw new ConfigError(`--${first} (${variableOf(first)}) needs --kafka-tls (${variableOf("kafka-tls")})`);
    return {};
  }
  if ((config["kafka-cert-file"] === "") !== (config["kafka-key-file"] === "")) {
    throw new ConfigError("--kafka-cert-file and --kafka-key-file belong together");
  }
  return { ssl: Object.fromEntries(given.map(([key, name]) => [key, readOptionFile(name, config[name], (content) => content)])) };
}

function saslOf(config: KafkaConfig): Pick<KafkaLogOptions, "sasl"> {
  const { "kafka-sasl": mechanism, "kafka-username": username, "kafka-password-file": path } = config;
  const password =
    path === "" ? config["kafka-password"] : readOptionFile("kafka-password-file", path, (content) => content.replace(/\r?\n$/, ""));
  if (mechanism === "none") {
    if (username !== "" || password !== "") throw new ConfigError(`a user or password needs --kafka-sasl (${variableOf("kafka-sasl")})`);
    return {};
  }
  if (username === "" || password === "") throw new ConfigError(`--kafka-sasl ${mechanism} needs a user and a password`);
  // A union of one member per mechanism: the type is told which, though all look alike.
  return { sasl: { mechanism, username, password } as NonNullable<KafkaLogOptions["sasl"]> };
}
