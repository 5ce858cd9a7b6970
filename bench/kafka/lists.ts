/** The same lists on MongoDB, beside the driver that only asks. */

import { type Collection, type Filter, MongoClient, type SortDirection } from "mongodb";
import { type Stored, storedFromWrite } from "../../internal/documents/mongo/stored.ts";
import { orders as orderView } from "../../internal/orders/projection/order.ts";
import { startProcess } from "../../test/support/processes.ts";
import { type Listed, manyBatches, measureLists, ordersOf } from "../lists.ts";
import type { Measurement } from "../measurement.ts";
import type { KafkaBench } from "./stores.ts";

export const listsOnMongo: Measurement<KafkaBench> = {
  name: "lists",
  summary: "lists of 1,000,000 orders with every filter and sort on MongoDB, beside a gRPC echo and the bare driver",
  async run(bench) {
    const { stores } = bench;
    await stores.empty();
    await using client = new MongoClient(stores.mongoUri, { readConcern: { level: "majority" } });
    const collection = client.db(stores.database).collection<Stored>(orderView.collection.name);
    const orders = ordersOf(bench);
    await fill(bench, collection, orders);
    // It prepares the other collections, without which the query service does not serve.
    await using _projector = await startProcess("projector", stores);
    await using own = await startProcess("query-service", stores);
    return await measureLists(bench, { address: own.address, orders, storedDate: (ms) => new Date(ms), bare: bareDriver(collection) });
  },
};

/** The indexes come last: each is then built at once. */
async function fill(bench: KafkaBench, collection: Collection<Stored>, orders: number): Promise<void> {
  for (const documents of manyBatches(bench, orders)) await collection.insertMany(documents.map(storedFromWrite), { ordered: false });
  bench.progress("indexes");
  const indexes = orderView.collection.indexes.map(({ name, fields }) => ({
    name,
    key: Object.fromEntries([...fields, "_id"].map((field) => [field, 1 as const])),
  }));
  await collection.createIndexes(indexes);
}

function bareDriver(collection: Collection<Stored>): Listed["bare"] {
  return {
    name: "bare driver",
    get: (id) => collection.findOne({ _id: id }),
    find: ({ where, sort, after, limit }) => {
      const filters = where.map(({ field, op, value }): Filter<Stored> => ({ [field]: { [`$${op}`]: value } }));
      const [first] = sort;
      if (after !== undefined && first !== undefined) filters.push({ [first.field]: { [first.descending ? "$lt" : "$gte"]: after[0] } });
      const order = [...sort, { field: "_id", descending: first?.descending ?? false }];
      return collection
        .find(filters.length === 0 ? {} : { $and: filters })
        .sort(order.map(({ field, descending }): [string, SortDirection] => [field, descending ? -1 : 1]))
        .limit(limit + 1)
        .toArray();
    },
  };
}
