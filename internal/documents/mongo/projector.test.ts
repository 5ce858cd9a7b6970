import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { describe } from "vitest";
import { startMongo } from "../../../test/support/mongo-server.ts";
import { mongo } from "../../../test/support/servers.ts";
import { describeParking } from "../../cqrs/testing/parking-suite.ts";
import { describeProjector, type ViewsUnderTest } from "../../cqrs/testing/projector-suite.ts";
import { connectMongoDocuments } from "./connect.ts";

describe.skipIf(mongo === undefined)("MongoDB", () => {
  describeProjector("views in MongoDB", openViews);
  describeParking("keys parked in MongoDB", openViews);
});

async function openViews(): Promise<ViewsUnderTest> {
  await using stack = new AsyncDisposableStack();
  const { uri } = stack.use(await startMongo());
  const database = `projector-${randomUUID()}`;
  const client = stack.use(new MongoClient(uri));
  stack.defer(async () => void (await client.db(database).dropDatabase()));
  const documents = stack.use(await connectMongoDocuments({ uri, database }));
  const owned = stack.move();
  return {
    documents,
    async empty() {
      // To create the collections and indexes anew would take longer than everything else.
      const collections = await client.db(database).collections();
      await Promise.all(collections.map((collection) => collection.deleteMany({})));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
