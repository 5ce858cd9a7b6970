/** A MongoDB whose documents are removed, or replaced by an older backup, while a query service reads them. */

import { MongoClient } from "mongodb";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MongoServer, startMongo } from "../../../test/support/mongo-server.ts";
import { recordOf, shortHistory } from "../../../test/support/order-histories.ts";
import { newOrderLog, orders } from "../../../test/support/order-runtime.ts";
import { mongo } from "../../../test/support/servers.ts";
import type { Log } from "../../cqrs/log.ts";
import type { Positions } from "../../cqrs/positions.ts";
import type { Projection } from "../../cqrs/projection.ts";
import { resetViews } from "../../cqrs/projector/reset-views.ts";
import { startFreshness } from "../../cqrs/query/freshness.ts";
import { project } from "../../cqrs/testing/projector-suite-support.ts";
import { connectMongoDocuments, type MongoDocuments } from "./connect.ts";

const forever = new AbortController().signal;
const deadline = { timeout: 60_000, interval: 20 };
const history = shortHistory(1);
const view = orders.views[0] as Projection;

describe.skipIf(mongo === undefined)("documents in MongoDB that go back under who reads them", () => {
  let server: MongoServer;
  let client: MongoClient;
  let database: string;
  let documents: MongoDocuments;
  let log: Log;
  let all: Positions;
  let runs = 0;
  beforeAll(async () => {
    server = await startMongo();
    client = new MongoClient(server.uri);
  });
  afterAll(async () => {
    await client.close();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    database = `set-back-${process.pid}-${runs++}`;
    documents = await connectMongoDocuments({ uri: server.uri, database });
    log = await newOrderLog(1);
    await log.append(history.events.map(recordOf));
    await project(log, documents);
    all = new Map([[log.topicId(orders.topics.events.name), new Map([[0, history.events.length]])]]);
    return async () => {
      await log[Symbol.asyncDispose]();
      await documents[Symbol.asyncDispose]();
    };
  });

  it.each<[what: string, remove: () => Promise<unknown>]>([
    ["dropped by hand", () => client.db(database).dropDatabase()],
    ["removed by headwater views reset", () => resetViews(documents, orders.views)],
  ])("%s, they are not confirmed from that moment on, and followed again when they are built", async (_what, remove) => {
    await using freshness = await startFreshness({ documents, views: orders.views });
    await freshness.waitFor(view, all, forever);
    expect(await freshness.confirms(view, all)).toBe(true);
    await remove();
    expect(await freshness.confirms(view, all)).toBe(false);
    const waiting = freshness.waitFor(view, all, forever);
    await project(log, documents);
    await waiting;
    expect(await freshness.confirms(view, all)).toBe(true);
    expect(await freshness.documents.load(view.collection.name, ["order-0"])).toMatchObject([{ id: "order-0" }]);
  });

  it("that go back without a word to anybody are noticed by who is idle", async () => {
    await using freshness = await startFreshness({ documents, views: orders.views });
    await freshness.waitFor(view, all, forever);
    let setBacks = 0;
    freshness.onSetBack(() => (setBacks += 1));
    await client.db(database).dropDatabase();
    await expect.poll(() => setBacks, deadline).toBe(1);
  });

  it("an older backup is noticed, and its positions are those that count", async () => {
    const checkpoints = client.db(database).collection<{ _id: string; sequence: number; nextOffset: number }>("_checkpoints");
    await using freshness = await startFreshness({ documents, views: orders.views });
    await freshness.waitFor(view, all, forever);
    const saved = await checkpoints.find().toArray();
    const older = saved.map((each) => (each._id.startsWith("news/") ? each : { ...each, sequence: 1, nextOffset: 1 }));
    await checkpoints.drop();
    await checkpoints.insertMany(older);
    await expect.poll(() => [...freshness.positions(view).values()].map((each) => each.get(0)), deadline).toEqual([1]);
    expect(await freshness.confirms(view, all)).toBe(false);
  });
});
