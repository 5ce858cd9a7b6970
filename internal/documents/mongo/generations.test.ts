/** MongoDB makes a collection of whatever is written to: also of one that was removed just before. */

import { describe, expect, it, onTestFinished } from "vitest";
import { startMongo } from "../../../test/support/mongo-server.ts";
import { recordOf, shortHistory } from "../../../test/support/order-histories.ts";
import { newOrderLog, orders, startProjector } from "../../../test/support/order-runtime.ts";
import { mongo } from "../../../test/support/servers.ts";
import type { Documents } from "../../cqrs/documents.ts";
import { dropPrevious, forgetAbandoned } from "../../cqrs/projector/generation-changes.ts";
import { generationsCollection, openCatalogue } from "../../cqrs/projector/generations.ts";
import { project, startRebuild, untilRebuilt } from "../../cqrs/testing/projector-suite-support.ts";
import { connectMongoDocuments } from "./connect.ts";

const [view] = orders.views;
if (view === undefined) throw new Error("there is no view");
const { name } = view.collection;

describe.skipIf(mongo === undefined)("generations in MongoDB", () => {
  it("one that another projector removed before this one wrote to it for the last time does not come back", async () => {
    const server = await startMongo();
    onTestFinished(() => server[Symbol.asyncDispose]());
    const documents = await connectMongoDocuments({ uri: server.uri, database: `generations-${process.pid}` });
    onTestFinished(() => documents[Symbol.asyncDispose]());
    const log = await newOrderLog(1);
    onTestFinished(() => log[Symbol.asyncDispose]());
    await log.append(shortHistory(1).logged.map(recordOf));
    await project(log, documents);
    await untilRebuilt(log, documents, await startRebuild(documents, view));

    // From now on, this one learns late of what the others do.
    let [isLate, asked] = [false, 0];
    const [kept, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const load: Documents["load"] = async (collection, ids) => {
      if (isLate && collection === generationsCollection.name) {
        asked += 1;
        await told.promise;
      }
      return documents.load(collection, ids);
    };
    const write: Documents["write"] = (writes, checkpoints) => {
      if (checkpoints.some(({ collection }) => collection === name)) kept.resolve();
      return documents.write(writes, checkpoints);
    };
    startProjector(log, { ...documents, load, write });
    await kept.promise;
    isLate = true;
    const catalogue = openCatalogue(documents);
    await catalogue.change(view, dropPrevious);
    await expect.poll(() => asked, { timeout: 30_000 }).toBeGreaterThan(0);
    await documents.drop([name]);
    await catalogue.change(view, (entry) => forgetAbandoned(entry, [name]));
    await documents.write([{ collection: name, id: "late", expectedRevision: 0, applied: {}, fields: {} }], []);
    told.resolve();
    const isThere = async () => (await documents.load(name, ["late"]))[0] !== undefined;
    await expect.poll(isThere, { timeout: 30_000 }).toBe(false);
  });
});
