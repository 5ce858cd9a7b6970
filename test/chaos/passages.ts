/**
 * From one log to another on the same brokers, under processes that keep what is on their own disks: nothing may go on silently from the log
 * that was. What is sent then repeats the commands of that time, under the same ids, so that everything that is still believed is wrong.
 */

import { cp, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { status as Code } from "@grpc/grpc-js";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { CallError, createGrpcClient } from "../support/grpc-client.ts";
import { orderTopics } from "../support/order-domain.ts";
import { startProcess } from "../support/processes.ts";
import { type Conclusion, untilTrue } from "./conclude.ts";
import { copyDocuments, dropDocuments } from "./documents.ts";
import type { ClientHistory } from "./history.ts";
import { withAdmin } from "./kafka-admin.ts";
import { createLoad, type Load } from "./load.ts";
import { moveLog } from "./moved-log.ts";
import type { ChaosServers } from "./servers.ts";
import { database, partitions } from "./setup.ts";
import { plantedIn } from "./supervise.ts";
import { type ChaosSystem, createSystem } from "./system.ts";

export interface PassageOptions {
  readonly servers: ChaosServers;
  readonly folder: string;
  readonly seed: number;
  /** A planted fault, see `plant.ts`. */
  readonly fault?: string;
  readonly progress: (line: string) => void;
  /** The era that ends. Nothing of it runs any more. */
  readonly before: Conclusion;
}

/** The beginning of an era: handlers and command services run, and the documents of the era before are dropped. */
export interface Begun {
  readonly system: ChaosSystem;
  readonly load: Load;
  /** Bad records that are in the log already. */
  readonly poison: number;
  /** Shows tokens and positions of the log that was, and tells which were believed, after all that was before. */
  holdAgainst(system: ChaosSystem): Promise<readonly string[]>;
}

export type Passage = (options: PassageOptions) => Promise<Begun>;

/** How many commands of the time before are sent again. */
const REPEATED = 800;

/** And how many others, so that the new log may be longer than the one before. */
const FURTHER = 1_200;

/** How long the log goes on before it is set back. */
const LOST_MS = 5_000;
const LOST_LOAD = { sessions: 32, commandsPerSecond: 80 } as const;

const SENDING_DEADLINE_MS = 120_000;
const REFUSAL_DEADLINE_MS = 40_000;
const TOKEN_DEADLINE_MS = 5_000;

/** Answers that say nothing of the token. */
const saysNothing: ReadonlySet<number> = new Set([Code.NOT_FOUND, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN]);

/** The log moves through a file; then all topics are deleted and made again: the names are the same, and nothing else. */
const topicsMadeAgain: Passage = async (options) => {
  const { servers, before, fault, progress } = options;
  progress("the log is moved");
  // What moves is not of interest where something else is to go wrong.
  const moved = fault === undefined ? await moveLog({ ...options, history: before.history, empty: () => deleteTopics(servers) }) : [];
  progress("the topics are made again");
  await deleteTopics(servers);
  const load = createLoad({ seed: options.seed });
  const { system, violations } = await beginOnOldDisks({ ...options, load, repeated: before.history });
  return { system, load, poison: 0, holdAgainst: async (whole) => [...moved, ...violations, ...(await believed(whole, before.history))] };
};

async function deleteTopics({ addresses }: ChaosServers): Promise<void> {
  const topics = Object.values(orderTopics).map(({ name }) => name);
  await withAdmin(addresses, (admin) => admin.deleteTopics({ topics }));
  await untilTrue(SENDING_DEADLINE_MS, () =>
    withAdmin(addresses, async (admin) => {
      const left = await admin.listTopics();
      return !topics.some((topic) => left.includes(topic));
    }),
  );
}

/** All brokers are set back to where the era ended, after the log had gone on and everybody had seen it. */
const kafkaSetBack: Passage = async (options) => {
  const { servers, before, progress, seed } = options;
  progress("Kafka will be set back to here");
  await moveData(servers, (data) => cp(data, `${data}.former`, { recursive: true }));
  const lost = await loseTime(options);
  await moveData(servers, async (data) => {
    await rm(data, { recursive: true });
    await cp(`${data}.former`, data, { recursive: true });
  });
  progress("Kafka is set back");
  // What was said before holds; who followed then has stopped there.
  const load = createLoad({ seed: seed + 1, history: { ...before.history, watches: [], subscriptions: [] } });
  const { system, violations } = await beginOnOldDisks({ ...options, load, repeated: lost });
  // The log had gone on past their events everywhere, and has others there now. A token of that time names no event.
  const subscriptions = lost.subscriptions.filter(({ orderId }) => orderId === "");
  const holdAgainst = async (whole: ChaosSystem) => [...violations, ...(await believed(whole, { attempts: [], subscriptions }))];
  return { system, load, poison: before.found.poison, holdAgainst };
};

export const passages: readonly Passage[] = [topicsMadeAgain, kafkaSetBack];

interface Beginning extends Omit<PassageOptions, "before"> {
  readonly load: Load;
  readonly repeated: ClientHistory;
}

async function beginOnOldDisks({ servers, folder, fault, load, repeated, progress }: Beginning) {
  const planted = fault === undefined ? {} : { fault };
  const system = createSystem({ brokers: servers.addresses, mongoUri: servers.mongo.uri, folder, ...planted });
  try {
    // One handler sees the log begin. The others come when it has grown past what they have on their disks.
    await Promise.all([system.start("command-handler", 1), system.start("command-service")]);
    const addresses = system.named("command-service").map(({ address }) => address);
    await load.repeat({
      history: repeated,
      commandAddresses: addresses,
      most: REPEATED,
      further: FURTHER,
      deadlineMs: SENDING_DEADLINE_MS,
    });
    await system.start("command-handler");
    const violations = await projectorsThatGoOn(servers, fault);
    await dropDocuments(servers.mongo.uri, database);
    progress("the documents of before are dropped");
    return { system, violations };
  } catch (error) {
    await system[Symbol.asyncDispose]();
    throw error;
  }
}

/** A projector finds documents of the log that was: it leaves them alone, and ends or does not serve. */
async function projectorsThatGoOn({ mongo, addresses }: ChaosServers, fault: string | undefined): Promise<readonly string[]> {
  const before = await copyDocuments(mongo.uri, database);
  const deadlineMs = REFUSAL_DEADLINE_MS;
  const options = { brokers: addresses, mongoUri: mongo.uri, instance: "projector-0", deadlineMs, ...plantedIn(fault) };
  const said = await startProcess("projector", options).then(
    async (process) => {
      // It says that it works: it may find out yet.
      const how = await Promise.race([process.exited, delay(REFUSAL_DEADLINE_MS / 10).then(() => "")]);
      const output = process.output();
      await process[Symbol.asyncDispose]();
      return how === "" ? "I24: a projector works on documents of another log" : output;
    },
    (error: unknown) => String(error),
  );
  const after = await copyDocuments(mongo.uri, database);
  const changed = [...before].filter(([name, documents]) => !isDeepStrictEqual(documents, after.get(name)));
  return [
    ...(said.startsWith("I24") ? [said] : []),
    ...(said.includes("has ended") ? [] : [`I24: a projector that finds documents of another log does not say so: ${said.slice(-300)}`]),
    ...changed.map(([name]) => `I24: a projector changed documents of another log, in ${name}`),
  ];
}

/** Tokens and positions of the log that was, and which of them were taken for those of the one that is. */
async function believed(
  system: ChaosSystem,
  { attempts, subscriptions }: Pick<ClientHistory, "attempts" | "subscriptions">,
): Promise<readonly string[]> {
  const tokens = attempts.flatMap(({ orderId, result }) =>
    result.kind === "ok" && result.token !== "" ? [{ orderId, token: result.token }] : [],
  );
  const positions = subscriptions.filter(({ position }) => position !== "");
  const shown = await Promise.all(
    system.named("query-service").map(async ({ address, instance }) => {
      using client = createGrpcClient(address);
      const ofTokens = tokens.slice(-5).map(async ({ orderId, token }) => {
        const { getOrder } = OrderQueryService.method;
        return answerTo(client.call(getOrder, { orderId, consistencyToken: token }, { deadlineMs: TOKEN_DEADLINE_MS }));
      });
      const ofPositions = positions.slice(0, 3).map(async ({ orderId, customerId, position }) => {
        const { subscribeOrderEvents } = OrderQueryService.method;
        const answers = client.follow(subscribeOrderEvents, { orderId, customerId, position }, AbortSignal.timeout(TOKEN_DEADLINE_MS));
        return answerTo(answers.next().finally(() => void answers.return(undefined)));
      });
      const said = [...(await Promise.all(ofTokens)), ...(await Promise.all(ofPositions))];
      return said.flatMap((each) => (each === undefined ? [] : [`I24: ${instance} took a token or a position of another log: ${each}`]));
    }),
  );
  return shown.flat();
}

/** undefined: it was refused as what it is. */
async function answerTo(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return "it was answered";
  } catch (error) {
    if (!(error instanceof CallError)) return String(error);
    return saysNothing.has(error.code) ? error.message : undefined;
  }
}

/** A time that nobody will have lived through. */
async function loseTime({ servers, folder, seed, fault }: PassageOptions): Promise<ClientHistory> {
  const planted = fault === undefined ? {} : { fault };
  await using system = createSystem({ brokers: servers.addresses, mongoUri: servers.mongo.uri, folder, ...planted });
  await Promise.all((["projector", "command-handler", "command-service", "query-service"] as const).map((name) => system.start(name)));
  await using load = createLoad({ seed: seed + 1 });
  const addressesOf = (name: "command-service" | "query-service") => system.named(name).map(({ address }) => address);
  load.begin({
    ...LOST_LOAD,
    mongoUri: servers.mongo.uri,
    database,
    commandAddresses: addressesOf("command-service"),
    queryAddresses: addressesOf("query-service"),
  });
  await delay(LOST_MS);
  await load.stop();
  await load.settle(SENDING_DEADLINE_MS);
  await Promise.all(Array.from({ length: partitions }, (_, partition) => load.roundTrip(partition, SENDING_DEADLINE_MS)));
  return load.history;
}

async function moveData({ brokers }: ChaosServers, move: (dataDirectory: string) => Promise<void>): Promise<void> {
  await Promise.all(brokers.map((broker) => broker.kill()));
  for (const { dataDirectory } of brokers) await move(dataDirectory);
  await Promise.all(brokers.map((broker) => broker.restart()));
}
