/** What an operator does to the documents themselves: takes a copy, drops them, puts a copy back. */

import { setTimeout as delay } from "node:timers/promises";
import { type Document, MongoClient, MongoError } from "mongodb";

const DEADLINE_MS = 60_000;
const AGAIN_AFTER_MS = 500;

/** All documents of all collections, by the name of the collection. */
export type DocumentsCopy = ReadonlyMap<string, readonly Document[]>;

/** Of the views and of the runtime, as a majority has them. */
export function copyDocuments(uri: string, database: string): Promise<DocumentsCopy> {
  return withDatabase(uri, database, async (db) => {
    const collections = await db.listCollections().toArray();
    return new Map(await Promise.all(collections.map(async ({ name }) => [name, await db.collection(name).find().toArray()] as const)));
  });
}

export function dropDocuments(uri: string, database: string): Promise<void> {
  return withDatabase(uri, database, async (db) => void (await db.dropDatabase({ writeConcern: { w: "majority" } })));
}

/** In the place of what is there. The checkpoints and all that the runtime keeps for itself come last, as the documents that they speak of must. */
export function putDocumentsBack(uri: string, database: string, copy: DocumentsCopy): Promise<void> {
  return withDatabase(uri, database, async (db) => {
    await db.dropDatabase({ writeConcern: { w: "majority" } });
    const isOwn = (name: string): number => Number(name.startsWith("_"));
    for (const [name, documents] of [...copy].toSorted(([a], [b]) => isOwn(a) - isOwn(b))) {
      if (documents.length > 0) await db.collection(name).insertMany([...documents], { writeConcern: { w: "majority", journal: true } });
    }
  });
}

/** A primary that steps down interrupts what an operator does, who then does all of it again. */
async function withDatabase<Result>(
  uri: string,
  database: string,
  act: (db: ReturnType<MongoClient["db"]>) => Promise<Result>,
): Promise<Result> {
  await using client = new MongoClient(uri, { readConcern: { level: "majority" }, readPreference: "primary" });
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await act(client.db(database));
    } catch (error) {
      if (!(error instanceof MongoError) || performance.now() > endMs) throw error;
      await delay(AGAIN_AFTER_MS);
    }
  }
}
