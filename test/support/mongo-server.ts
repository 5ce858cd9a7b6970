/** A real MongoDB for tests: a replica set of one mongod or more, on free ports of 127.0.0.1, with a folder of its own. */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";
import { freePorts } from "./ports.ts";
import { mongo } from "./servers.ts";

/** A mongod needs less than a second on an idle machine. */
const START_DEADLINE_MS = 180_000;
const RETRY_MS = 50;
/** How long a member may take to say what it is. */
const ANSWER_TIMEOUT_MS = 2_000;
/** A third of the default: a primary that is gone is replaced within seconds. */
const ELECTION_TIMEOUT_MS = 3_000;
const REPLICA_SET = "rs0";
const NOT_YET_INITIALIZED = 94;

export interface MongoOptions {
  /** Of mongod, beside ours. */
  readonly args?: readonly string[];
  /** How many members the replica set has. Default: one. */
  readonly members?: number;
  /** What clients and other members are told instead of a member's address, such as the address of a proxy before it. */
  readonly advertise?: (address: string) => Promise<string>;
}

export interface MongoMember {
  /** Its process, to stop and continue it. */
  readonly pid: number;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on its port and data, after a clean stop if it still runs. */
  restart(): Promise<void>;
}

export interface MongoServer extends AsyncDisposable {
  readonly uri: string;
  readonly members: readonly MongoMember[];
  /** The process of the first member, to stop and continue it. */
  readonly pid: number;
  /** The member that takes writes now, if there is one. */
  primary(): Promise<MongoMember | undefined>;
  /** Ends the first member at once, as a crash does. */
  kill(): Promise<void>;
  /** Starts the first member again, and waits until the set takes writes. */
  restart(): Promise<void>;
}

/** Starts a server, or takes the one at MONGODB_URI: that one cannot be killed, and other tests may have left databases there. */
export async function startMongo(options: MongoOptions = {}): Promise<MongoServer> {
  if (mongo === undefined) throw new Error("mongod is missing: npm run servers fetches it");
  return mongo.kind === "running" ? foreignServer(mongo.address) : startOwnServer(mongo.path, options);
}

interface OwnMember extends MongoMember {
  readonly address: string;
  output(): string;
  readonly hasEnded: boolean;
}

async function startOwnServer(mongod: string, options: MongoOptions): Promise<MongoServer> {
  const { args = [], members: size = 1, advertise = (address) => Promise.resolve(address) } = options;
  const folder = await mkdtemp(join(tmpdir(), "headwater-mongo-"));
  const members: OwnMember[] = [];
  const remove = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const ports = await freePorts(size);
    for (const [index, port] of ports.entries()) members.push(await startMember(mongod, folder, { index, port, args }));
    const advertised = await Promise.all(members.map(({ address }) => advertise(address)));
    await untilPrimary(members, advertised);
    return serverOf(members, advertised, remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

function serverOf(members: readonly OwnMember[], advertised: readonly string[], remove: () => Promise<void>): MongoServer {
  const [first] = members;
  if (first === undefined) throw new RangeError("a replica set has a member");
  return {
    uri: `mongodb://${advertised.join()}/?replicaSet=${REPLICA_SET}`,
    members,
    get pid() {
      return first.pid;
    },
    async primary() {
      const primaries = await Promise.all(members.map(async (member) => ((await isPrimary(member.address)) ? member : undefined)));
      return primaries.find((member) => member !== undefined);
    },
    kill: () => first.kill(),
    async restart() {
      await first.restart();
      await untilPrimary(members, advertised);
    },
    [Symbol.asyncDispose]: remove,
  };
}

interface MemberOptions {
  readonly index: number;
  readonly port: number;
  readonly args: readonly string[];
}

async function startMember(mongod: string, folder: string, { index, port, args }: MemberOptions): Promise<OwnMember> {
  const dataDirectory = join(folder, `data-${index}`);
  await mkdir(dataDirectory);
  const given = ["--replSet", REPLICA_SET, "--bind_ip", "127.0.0.1", "--port", String(port), "--dbpath", dataDirectory, "--quiet"];
  const thrift = ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false", "--nounixsocket"];
  let running: GuardedProcess;
  let hasEnded = true;
  const start = (): void => {
    const started = startGuarded(mongod, [...given, ...thrift, ...args], folder);
    running = started;
    hasEnded = false;
    void started.exited.then(() => {
      if (running === started) hasEnded = true;
    });
  };
  start();
  return {
    address: `127.0.0.1:${port}`,
    get pid() {
      return running.pid;
    },
    get hasEnded() {
      return hasEnded;
    },
    output: () => running.output(),
    kill: () => running.end("SIGKILL"),
    async restart() {
      await running.end("SIGTERM");
      start();
    },
  };
}

async function untilPrimary(members: readonly OwnMember[], advertised: readonly string[]): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const isReady = await Promise.all(members.map(({ address }) => isPrimary(address)));
    if (isReady.includes(true)) return;
    const ended = members.find(({ hasEnded }) => hasEnded);
    if (ended !== undefined) throw new Error(`mongod ended at its start:\n${ended.output()}`);
    if (Date.now() > deadline) throw new Error(`no primary at ${advertised.join()} in ${START_DEADLINE_MS} ms`);
    await initiate(members, advertised);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Whether it takes writes. */
async function isPrimary(address: string): Promise<boolean> {
  return (await ask(address, async (client) => (await client.db("admin").command({ hello: 1 }))["isWritablePrimary"] === true)) ?? false;
}

/** Makes new servers a replica set, once all of them answer. */
async function initiate(members: readonly OwnMember[], advertised: readonly string[]): Promise<void> {
  const isNew = await Promise.all(members.map(({ address }) => ask(address, needsInitiation)));
  const [first] = members;
  if (first === undefined || !isNew.every((each) => each === true)) return;
  const settings = { electionTimeoutMillis: ELECTION_TIMEOUT_MS };
  const config = { _id: REPLICA_SET, settings, members: advertised.map((host, index) => ({ _id: index, host })) };
  await ask(first.address, (client) => client.db("admin").command({ replSetInitiate: config }));
}

/** What a member answers, or undefined where it does not. */
async function ask<Answer>(address: string, question: (client: MongoClient) => Promise<Answer>): Promise<Answer | undefined> {
  const client = new MongoClient(`mongodb://${address}/?directConnection=true`, {
    serverSelectionTimeoutMS: ANSWER_TIMEOUT_MS,
    socketTimeoutMS: ANSWER_TIMEOUT_MS,
  });
  try {
    return await question(client);
  } catch {
    return undefined;
  } finally {
    await client.close();
  }
}

async function needsInitiation(client: MongoClient): Promise<boolean> {
  try {
    await client.db("admin").command({ replSetGetStatus: 1 });
    return false;
  } catch (error) {
    return (error as { readonly code?: unknown }).code === NOT_YET_INITIALIZED;
  }
}

function foreignServer(uri: string): MongoServer {
  const refuse = (): Promise<never> => Promise.reject(new Error("the server at MONGODB_URI is not ours to stop"));
  const nobody = () => Promise.resolve(undefined);
  return { uri, members: [], pid: 0, primary: nobody, kill: refuse, restart: refuse, [Symbol.asyncDispose]: () => Promise.resolve() };
}
