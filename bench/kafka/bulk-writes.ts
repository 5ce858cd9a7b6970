/**
 * The ceiling of the projector: the driver writes the documents that the projector made, each as often as the projector wrote it, in as many
 * requests and into collections with the same indexes.
 */

import { type AnyBulkWriteOperation, MongoClient } from "mongodb";
import type { Projection } from "../../internal/cqrs/projection.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { type KafkaBench, OWN_PREFIX, openDocuments } from "./stores.ts";

/** As many as the projector takes into one batch. */
const EVENTS_PER_BATCH = 4_000;

interface Document {
  readonly _id: string;
  /** How often it was written. */
  readonly _revision: number;
}

/** The writes of one collection in the order of the batches. */
interface Writes {
  readonly collection: string;
  readonly operations: readonly AnyBulkWriteOperation<Document>[];
}

/** Of all views, or of some. Returns the seconds of the writes. */
export async function measureBulkWrites(
  { stores }: KafkaBench,
  events: number,
  views: readonly Projection[] = orderViews,
): Promise<number> {
  const database = `${OWN_PREFIX}-copy`;
  await using copies = await openDocuments({ ...stores, database });
  await copies.prepare(views.map(({ collection }) => collection));
  await using client = new MongoClient(stores.mongoUri, { writeConcern: { w: "majority", journal: true } });
  const writes = await Promise.all(views.map(({ collection }) => writesOf(client, stores.database, collection.name)));
  const target = client.db(database);
  const batches = Math.ceil(events / EVENTS_PER_BATCH);
  const startedMs = performance.now();
  for (let batch = 0; batch < batches; batch += 1) {
    await Promise.all(
      writes.map(async ({ collection, operations }) => {
        const share = shareOf(operations, batch, batches);
        if (share.length > 0) await target.collection<Document>(collection).bulkWrite(share, { ordered: false });
      }),
    );
  }
  return (performance.now() - startedMs) / 1000;
}

/** Every document is inserted, and then replaced until it has its revision: each time by another, since one that is the same is not written. */
async function writesOf(client: MongoClient, database: string, collection: string): Promise<Writes> {
  const documents = await client.db(database).collection<Document>(collection).find().toArray();
  const operations: AnyBulkWriteOperation<Document>[] = documents.map((document) => ({
    insertOne: { document: { ...document, _revision: 1 } },
  }));
  for (let left = documents.filter(({ _revision }) => _revision > 1), revision = 2; left.length > 0; revision += 1) {
    const replacing = left.map((document) => ({
      replaceOne: { filter: { _id: document._id }, replacement: { ...document, _revision: revision } },
    }));
    operations.push(...replacing);
    left = left.filter(({ _revision }) => _revision > revision);
  }
  return { collection, operations };
}

function shareOf<Item>(items: readonly Item[], index: number, parts: number): Item[] {
  return items.slice(Math.floor((items.length * index) / parts), Math.floor((items.length * (index + 1)) / parts));
}
