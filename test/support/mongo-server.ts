/** A real MongoDB for tests: a replica set of one mongod, on a free port of 127.0.0.1, with a folder of its own. */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";
import { freePorts } from "./ports.ts";
import { mongo } from "./servers.ts";

/** A mongod needs less than a second on an idle machine. */
const START_DEADLINE_MS = 60_000;
const RETRY_MS = 50;
const REPLICA_SET = "rs0";
const NOT_YET_INITIALIZED = 94;

export interface MongoOptions {
  /** Of mongod, beside ours. */
  readonly args?: readonly string[];
}

export interface MongoServer extends AsyncDisposable {
  readonly uri: string;
  /** Its process, to stop and continue it. */
  readonly pid: number;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on its port and data, after a clean stop if it still runs, and waits until it takes writes. */
  restart(): Promise<void>;
}

/** Starts a server, or takes the one at MONGODB_URI: that one cannot be killed, and other tests may have left databases there. */
export async function startMongo({ args = [] }: MongoOptions = {}): Promise<MongoServer> {
  if (mongo === undefined) throw new Error("mongod is missing: npm run servers fetches it");
  return mongo.kind === "running" ? foreignServer(mongo.address) : startOwnServer(mongo.path, args);
}

async function startOwnServer(mongod: string, further: readonly string[]): Promise<MongoServer> {
  const folder = await mkdtemp(join(tmpdir(), "headwater-mongo-"));
  const dataDirectory = join(folder, "data");
  await mkdir(dataDirectory);
  const [port] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const args = ["--replSet", REPLICA_SET, "--bind_ip", "127.0.0.1", "--port", String(port), "--dbpath", dataDirectory, "--quiet"];
  const thrift = ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false", "--nounixsocket"];
  let running: GuardedProcess;
  const start = async (): Promise<void> => {
    running = startGuarded(mongod, [...args, ...thrift, ...further], folder);
    await untilPrimary(address, running);
  };
  const remove = async (): Promise<void> => {
    await running.end("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    uri: `mongodb://${address}/?replicaSet=${REPLICA_SET}`,
    get pid() {
      return running.pid;
    },
    kill: () => running.end("SIGKILL"),
    async restart() {
      await running.end("SIGTERM");
      await start();
    },
    [Symbol.asyncDispose]: remove,
  };
}

async function untilPrimary(address: string, server: GuardedProcess): Promise<void> {
  let ended = false;
  void server.exited.then(() => (ended = true));
  const deadline = Date.now() + START_DEADLINE_MS;
  while (!(await isPrimary(address))) {
    if (ended) throw new Error(`mongod ended at its start:\n${server.output()}`);
    if (Date.now() > deadline) throw new Error(`no answer of mongod at ${address} in ${START_DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Whether it takes writes; a new one is made a replica set first. */
async function isPrimary(address: string): Promise<boolean> {
  const client = new MongoClient(`mongodb://${address}/?directConnection=true`, { serverSelectionTimeoutMS: 1_000 });
  const admin = client.db("admin");
  try {
    const { isWritablePrimary, setName } = await admin.command({ hello: 1 });
    if (setName === undefined && (await needsInitiation(client))) {
      await admin.command({ replSetInitiate: { _id: REPLICA_SET, members: [{ _id: 0, host: address }] } });
    }
    return isWritablePrimary === true;
  } catch {
    return false;
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
  return { uri, pid: 0, kill: refuse, restart: refuse, [Symbol.asyncDispose]: () => Promise.resolve() };
}
