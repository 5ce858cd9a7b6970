/** The system that an operator's command is about, in either form, whether or not it runs at the moment. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Documents } from "../../../internal/cqrs/documents.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import { documentsOverPorts } from "../../../internal/documents/embedded/connect.ts";
import { openEmbeddedDocuments } from "../../../internal/documents/embedded/open.ts";
import { connectEmbeddedLog } from "../../../internal/log/embedded/client.ts";
import { openEmbeddedLog } from "../../../internal/log/embedded/open.ts";
import { ConfigError, type ValuesOf, variableOf } from "../../../internal/platform/config.ts";
import { type KafkaClient, openKafka } from "../../../internal/process/kafka.ts";
import { openMongo } from "../../../internal/process/mongo.ts";
import type { systemOptions } from "../../../internal/process/options.ts";
import { orderTopics } from "../domain.ts";
import { printError } from "../printable.ts";
import { connectToRunning } from "./operator-client.ts";

/** What an operator says of the system, by its options. */
export type SystemValues = ValuesOf<typeof systemOptions>;

/** The system, as an operator's command uses it. */
export interface System extends AsyncDisposable {
  readonly kind: SystemValues["system"];
  readonly log: Log;
  readonly documents: Documents;
}

const topics = Object.values(orderTopics);

const client: KafkaClient = { clientId: "headwater-operator", topics, stateDirectory: null };

/**
 * Opens the log and the documents. For a command that needs the log alone, {@link openLog} does while the documents are away.
 *
 * @throws {ConfigError} there is no such system; the message says what to do
 */
export async function openSystem(values: SystemValues): Promise<System> {
  await using stack = new AsyncDisposableStack();
  const log = stack.use(await openLog(values));
  const documents = stack.use(await openDocuments(values));
  const owned = stack.move();
  return { kind: values.system, log, documents, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Opens the log, and creates it where it is missing. @throws {Error} it is there, with another number of partitions */
export async function createLog(values: SystemValues & { readonly "replication-factor": number }, partitions: number): Promise<Log> {
  if (values.system === "kafka") return openKafka({ ...withoutNamespace(values), partitions }, client);
  if (existsSync(join(values.data, "log.sqlite"))) return openLog(values);
  return openEmbeddedLog({ directory: values.data, topics, partitions });
}

/**
 * Opens the log to read it, and creates none. What is wrong with its topics is told, and hinders nobody: it is when they look.
 *
 * @throws {ConfigError} there is none
 */
export async function openLog(values: SystemValues, onProblem = (problem: string) => printError(`${problem}\n`)): Promise<Log> {
  return openPresent(values, { onProblem });
}

/** Opens the log to write to it. @throws {ConfigError} there is none. @throws {Error} its topics could lose or refuse records */
export function openLogToWrite(values: SystemValues): Promise<Log> {
  return openPresent(values, {});
}

async function openPresent(values: SystemValues, told: Pick<KafkaClient, "onProblem">): Promise<Log> {
  if (values.system === "kafka") return openKafka(withoutNamespace(values), { ...client, ...told });
  const directory = existing(values.data);
  const [port] = (await connectToRunning(directory, "log")) ?? [];
  return port === undefined ? openEmbeddedLog({ directory, topics }) : connectEmbeddedLog(port, { durable: true });
}

/** Connects to the documents. @throws {ConfigError} there are none */
export async function openDocuments(values: SystemValues): Promise<Documents> {
  if (values.system === "kafka") return openMongo(withoutNamespace(values));
  const directory = existing(values.data);
  const [writer, loader, finder] = (await connectToRunning(directory, "documents")) ?? [];
  return writer === undefined ? openEmbeddedDocuments({ directory }) : documentsOverPorts({ writer, loader, finder });
}

/**
 * Operators' commands know the topics without a namespace only. With one they would look at the
 * topics of another system than they are told.
 *
 * @throws {ConfigError} the system has a namespace
 */
function withoutNamespace<Values extends SystemValues>(values: Values): Values {
  if (values.namespace === "") return values;
  const option = `--namespace (${variableOf("namespace")})`;
  throw new ConfigError(`${option}: operators' commands cannot look into a namespace yet, only at the system without one`);
}

function existing(directory: string): string {
  if (existsSync(join(directory, "log.sqlite"))) return directory;
  const option = `--data (${variableOf("data")})`;
  throw new ConfigError(
    `there is no log in ${directory}: ${option} names the folder of a headwater dev, which has none with --in-memory; --system kafka is for the other form`,
  );
}
