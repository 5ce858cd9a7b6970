import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MongoServer, startMongo } from "../../../test/support/mongo-server.ts";
import { mongo } from "../../../test/support/servers.ts";
import { DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { describeDocuments } from "../../cqrs/testing/documents-contract.ts";
import { connectMongoDocuments, type MongoDocuments } from "./connect.ts";

describe.skipIf(mongo === undefined)("MongoDB", () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  describeDocuments("the documents in MongoDB", async () => {
    const database = `contract-${randomUUID()}`;
    const connect = () => connectMongoDocuments({ uri: server.uri, database });
    let documents = await connect();
    return {
      documents,
      connect,
      reopen: async () => {
        await documents[Symbol.asyncDispose]();
        documents = await connect();
        return documents;
      },
      async [Symbol.asyncDispose]() {
        await documents[Symbol.asyncDispose]();
        await using client = new MongoClient(server.uri);
        await client.db(database).dropDatabase();
      },
    };
  });

  describe("what is in MongoDB", () => {
    const orders = { name: "orders.v1", indexes: [{ name: "status", fields: ["status"] }] };
    const created = (id: string, fields = {}) => ({
      collection: orders.name,
      id,
      expectedRevision: 0,
      applied: { stream: { 3: 1 } },
      fields,
    });
    let client: MongoClient;
    let database: string;
    let documents: MongoDocuments;
    beforeEach(async () => {
      database = `adapter-${randomUUID()}`;
      client = new MongoClient(server.uri);
      documents = await connectMongoDocuments({ uri: server.uri, database });
      await documents.prepare([orders]);
    });
    afterEach(async () => {
      await documents[Symbol.asyncDispose]();
      await client.db(database).dropDatabase();
      await client.close();
    });
    const stored = () => client.db(database).collection(orders.name);

    it("is plain: the id, the fields, and dates as dates", async () => {
      const createdAt = new Date("2026-11-24T10:11:12.345Z");
      await documents.write([created("a", { status: "PAID", createdAt, total: { minorUnits: 9_007_199_254_740_991 } })], []);
      expect(await stored().find().toArray()).toEqual([
        { _id: "a", _revision: 1, _applied: { stream: { 3: 1 } }, status: "PAID", createdAt, total: { minorUnits: 9_007_199_254_740_991 } },
      ]);
    });

    it("is all of a write but exactly its conflicts", async () => {
      await documents.write(
        ["a", "b", "c"].map((id) => created(id)),
        [],
      );
      const conflicts = await documents.write(
        [
          created("a", { by: "an insert of what is there" }),
          created("new", { by: "an insert" }),
          { ...created("b", { by: "a replacement" }), expectedRevision: 1 },
          { ...created("c", { by: "a replacement of another revision" }), expectedRevision: 2 },
          { ...created("missing", { by: "a replacement of nothing" }), expectedRevision: 1 },
        ],
        [],
      );
      expect(conflicts.map(({ id }) => id)).toEqual(["a", "c", "missing"]);
      const found = await stored()
        .find({ by: { $exists: true } })
        .sort({ _id: 1 })
        .toArray();
      expect(found).toMatchObject([
        { _id: "b", _revision: 2, by: "a replacement" },
        { _id: "new", _revision: 1, by: "an insert" },
      ]);
    });

    it("are the indexes as they are declared now, and those of others", async () => {
      await stored().createIndex({ theirs: 1 });
      const indexes = [
        { name: "status", fields: ["status", "createdAt"] },
        { name: "words", fields: ["words"], multikey: true },
      ];
      expect(await documents.missingIndexes([{ ...orders, indexes }])).toEqual([
        { collection: orders.name, index: "status" },
        { collection: orders.name, index: "words" },
      ]);
      await Promise.all([documents.prepare([{ ...orders, indexes }]), documents.prepare([{ ...orders, indexes }])]);
      expect(await documents.missingIndexes([{ ...orders, indexes }])).toEqual([]);
      const names = (await stored().listIndexes().toArray()).map(({ name }) => name as string);
      expect(names.toSorted()).toEqual(["_id_", "status", "theirs_1", "words"]);
    });

    it("is not found by operators in the names of fields", async () => {
      const query = { collection: orders.name, sort: [], limit: 1 };
      for (const field of ["$where", "a.$b", "", "_revision"]) {
        await expect(documents.find({ ...query, where: [{ field, op: "eq", value: "1" }] })).rejects.toThrow(TypeError);
      }
    });

    it("is out of reach once the connection is closed", async () => {
      await documents[Symbol.asyncDispose]();
      await expect(documents.load(orders.name, ["a"])).rejects.toThrow(DocumentsUnavailableError);
      await expect(documents.write([created("a")], [])).rejects.toThrow(DocumentsUnavailableError);
    });
  });
});
