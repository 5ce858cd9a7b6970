/**
 * Every option of every process: one configuration, which all can share. A process declares those that it reads.
 * WARNING: these names are in the files and clusters of those who run it.
 */

import { hostname } from "node:os";
import { NAMESPACE } from "../cqrs/domain.ts";
import { ConfigError, flag, integer, list, type Option, oneOf, port, text } from "../platform/config.ts";
import { logLevels } from "../platform/logging.ts";

export const loggingOptions = { "log-level": oneOf(`${logLevels.join(", ")}; JSON lines on stderr`, logLevels, "info") };

export const hostOption = { host: text("address to listen on; 0.0.0.0 for all", "127.0.0.1") };

export const commandPortOption = { "command-port": port("port of the command service", 50_051) };
export const queryPortOption = { "query-port": port("port of the query service", 50_052) };
export const handlerPortOption = { "handler-health-port": port("port where the command handler tells its health", 50_053) };
export const projectorPortOption = { "projector-health-port": port("port where the projector tells its health", 50_054) };
const gatewayPortOption = { "gateway-port": port("port of the gateway (Connect, gRPC-Web, JSON)", 8080) };

export const gatewayOptions = {
  ...hostOption,
  ...gatewayPortOption,
  "command-url": text("where the command service is", "http://127.0.0.1:50051"),
  "query-url": text("where the query service is", "http://127.0.0.1:50052"),
  "allowed-origins": list("origins of web pages that may call, separated by commas; * for all. On 127.0.0.1, localhost may too", ""),
  "allowed-hosts": list("names that the gateway is called by, separated by commas. None: any, or on 127.0.0.1 this machine's", ""),
};

export const instanceOption = {
  instance: text("name of this instance, stable across restarts; a second one under the same name replaces it", hostname()),
};

export const stateOption = {
  state: text("folder of the local copy of the state; it can be lost, and saves reading it again", "./state"),
};

const partitionsOption = {
  partitions: integer("partitions of every topic that is created; 0 takes those of the topics that are there, or 8", 0, 128, 0),
};

/** What tells one system from another on the same servers. */
const namespaceOption = {
  namespace: namespace("begins the names of topics, groups and the database, so that systems share a Kafka and a MongoDB"),
};

function namespace(help: string): Option<string> {
  return {
    help: `${help}. Default: none`,
    default: "",
    parse(value) {
      if (value === "" || NAMESPACE.test(value)) return value;
      throw new ConfigError("must have 1 to 20 lower-case letters, digits and hyphens");
    },
  };
}

/** How to reach Kafka. */
const kafkaConnectionOptions = {
  ...namespaceOption,
  "kafka-brokers": list("host:port of brokers to begin with, separated by commas", "127.0.0.1:9092"),
  "kafka-tls": flag("encrypt the connections to Kafka"),
  "kafka-ca-file": text("PEM of the authorities that may sign the brokers' certificates", ""),
  "kafka-cert-file": text("PEM of this client's certificate, for mTLS", ""),
  "kafka-key-file": text("PEM of its private key", ""),
  "kafka-sasl": oneOf("none, plain, scram-sha-256 or scram-sha-512", ["none", "plain", "scram-sha-256", "scram-sha-512"], "none"),
  "kafka-username": text("user for SASL", ""),
  "kafka-password": text("password for SASL; as a flag it is visible to all users of the machine", ""),
  "kafka-password-file": text("file that holds it", ""),
};

/** What topics are created with. */
const kafkaTopicOptions = {
  "replication-factor": integer("copies of topics that are created; -1 takes the brokers' default", -1, 32, -1),
  ...partitionsOption,
};

/** Of who may create topics, and is told their partitions. */
export const replicationOption = { "replication-factor": kafkaTopicOptions["replication-factor"] };

export const kafkaOptions = { ...kafkaConnectionOptions, ...kafkaTopicOptions };

export const mongoOptions = {
  ...namespaceOption,
  "mongo-uri": text("address of the replica set, with TLS and credentials if it needs them", "mongodb://127.0.0.1:27017/?replicaSet=rs0"),
  "mongo-uri-file": text("file that holds it", ""),
  "mongo-database": text("database of the documents", "headwater"),
};

const embeddedOptions = {
  data: text("folder of the embedded log and documents", "./data"),
  "in-memory": flag("keep everything in memory; it is gone when the process stops"),
};

/** Which system an operator's command is about. */
export const systemOptions = {
  system: oneOf("the system that a command is about: embedded, in --data, or kafka, with MongoDB", ["embedded", "kafka"], "embedded"),
  data: embeddedOptions.data,
  ...kafkaConnectionOptions,
  ...mongoOptions,
};

/** What a shared file may set. */
export const allOptions = {
  ...loggingOptions,
  ...gatewayOptions,
  ...commandPortOption,
  ...queryPortOption,
  ...handlerPortOption,
  ...projectorPortOption,
  ...instanceOption,
  ...stateOption,
  ...kafkaOptions,
  ...mongoOptions,
  ...embeddedOptions,
  system: systemOptions.system,
};
