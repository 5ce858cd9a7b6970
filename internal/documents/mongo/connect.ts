/** The document port on MongoDB: a replica set, because checkpoints are followed by a change stream. */

import { type Db, type Collection as DriverCollection, MongoClient } from "mongodb";
import { type Collection, type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { CHECKPOINTS, checkExpected, dropCheckpoints, loadCheckpoints, type StoredCheckpoint, writeCheckpoints } from "./checkpoints.ts";
import { reaching } from "./errors.ts";
import { findDocuments, loadDocuments } from "./find.ts";
import { findMissing, type MissingIndex, prepareIndexes } from "./indexes.ts";
import type { Stored } from "./stored.ts";
import { startWatch } from "./watch.ts";
import { writeDocuments } from "./write.ts";

export interface MongoDocumentsOptions {
  readonly uri: string;
  readonly database: string;
}

export interface MongoDocuments extends Documents {
  /** The declared indexes that are not there, for a service that only reads: its queries would read whole collections. */
  missingIndexes(collections: readonly Collection[]): Promise<readonly MissingIndex[]>;
}

/** How long a call looks for a primary: an election is over by then, mostly. */
const SELECTION_TIMEOUT_MS = 5_000;

/** How long one request may take. The driver repeats one that failed once, so that a call ends after twice the sum, at the latest. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Whatever the address says, a write that is acknowledged survives a fail-over, and a read sees what the checkpoint that was seen covers.
 */
const clientOptions = {
  appName: "headwater",
  readPreference: "primary",
  readConcern: { level: "majority" },
  writeConcern: { w: "majority", journal: true, wtimeoutMS: ANSWER_TIMEOUT_MS },
  retryReads: true,
  retryWrites: true,
  serverSelectionTimeoutMS: SELECTION_TIMEOUT_MS,
  connectTimeoutMS: SELECTION_TIMEOUT_MS,
  waitQueueTimeoutMS: SELECTION_TIMEOUT_MS,
  socketTimeoutMS: ANSWER_TIMEOUT_MS,
} as const;

/** @throws {DocumentsUnavailableError} there is no primary */
export async function connectMongoDocuments({ uri, database }: MongoDocumentsOptions): Promise<MongoDocuments> {
  const client = new MongoClient(uri, clientOptions);
  try {
    await reaching(() => client.connect());
  } catch (error) {
    await client.close();
    throw error;
  }
  return createDocuments(client, client.db(database));
}

function createDocuments(client: MongoClient, db: Db): MongoDocuments {
  const checkpoints: DriverCollection<StoredCheckpoint> = db.collection(CHECKPOINTS);
  const closing = new AbortController();
  const watches = new Set<Promise<void>>();
  const documentsOf = (collection: string): DriverCollection<Stored> => db.collection(collection);

  return {
    guarantees: { neverGoBack: false },
    prepare: (collections) =>
      call(async () => {
        for (const { name, indexes } of collections) await prepareIndexes(documentsOf(name), indexes);
      }),
    drop: (collections) =>
      call(async () => {
        for (const collection of collections) {
          // First, so that no view seems complete whose documents are gone.
          await dropCheckpoints(checkpoints, collection);
          await documentsOf(collection).drop();
        }
      }),
    missingIndexes: (collections) =>
      call(async () => (await Promise.all(collections.map(({ name, indexes }) => findMissing(documentsOf(name), indexes)))).flat()),
    load: (collection, ids, maxBytes) => call(() => loadDocuments(documentsOf(collection), ids, maxBytes)),
    write: (writes, advanced) =>
      call(async () => {
        // Behind all that was loaded, and before anything is written: what is written rests on what is complete.
        await checkExpected(checkpoints, advanced);
        const byCollection = [...Map.groupBy(writes, ({ collection }) => collection)];
        const conflicts = await allSettled(byCollection.map(([collection, own]) => writeDocuments(documentsOf(collection), own)));
        if (conflicts.length === 0) await writeCheckpoints(checkpoints, advanced);
        return conflicts;
      }),
    find: (query) => call(() => findDocuments(documentsOf(query.collection), query)),
    checkpoints: (collection) => call(() => loadCheckpoints(checkpoints, collection)),
    watchCheckpoints: (listener, stopped, prefix = "") =>
      call(async () => {
        const signal = AbortSignal.any([stopped, closing.signal]);
        if (signal.aborted) return;
        const { ended } = await startWatch({ db, checkpoints, listener, signal, prefix });
        watches.add(ended);
        void ended.then(() => watches.delete(ended));
      }),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await client.close();
      await Promise.all(watches);
    },
  };

  /** A closed client would connect again by itself. */
  function call<Result>(run: () => Promise<Result>): Promise<Result> {
    if (closing.signal.aborted) return Promise.reject(new DocumentsUnavailableError("the document store is closed"));
    return reaching(run);
  }
}

/** Everything that the promises found, once all are settled: after a failure nothing goes on behind its caller's back. */
async function allSettled<Item>(promises: readonly Promise<readonly Item[]>[]): Promise<readonly Item[]> {
  await Promise.allSettled(promises);
  return (await Promise.all(promises)).flat();
}
