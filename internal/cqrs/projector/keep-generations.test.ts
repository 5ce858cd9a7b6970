/** While a batch is written, the next is folded on top of it. What becomes of that, if the writing does not go as it was folded. */

import { expect, it, onTestFinished } from "vitest";
import { recordOf, shortHistory } from "../../../test/support/order-histories.ts";
import { newOrderLog, orders, startProjector } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { type CheckpointListener, type Documents, DocumentsUnavailableError } from "../documents.ts";
import type { Log } from "../log.ts";
import type { Projection } from "../projection.ts";
import { inAnotherGroup, inBatches, project } from "../testing/projector-suite-support.ts";
import { expectFolds } from "../testing/view-checker.ts";
import { dropPrevious } from "./generation-changes.ts";
import { openCatalogue } from "./generations.ts";
import { listParked } from "./parking.ts";

/** Two orders, an event of each in every batch. */
const history = shortHistory(1);
const BATCH = 2;

const [view, ...others] = orders.views as [Projection, ...Projection[]];

/** Events of two batches; a store that holds the first until it is told what becomes of it. */
async function held() {
  const log = await newOrderLog(1);
  onTestFinished(() => log[Symbol.asyncDispose]());
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  await log.append(history.logged.map(recordOf));
  const released = Promise.withResolvers<void>();
  let begun = 0;
  const write: Documents["write"] = async (writes, checkpoints) => {
    if (writes.some(({ collection }) => collection === view.collection.name)) begun += 1;
    if (begun === 1) await released.promise;
    return documents.write(writes, checkpoints);
  };
  return { log, documents, slow: { ...documents, write } satisfies Documents, released, begun: () => begun };
}

/** A projector whose batches overlap, and a promise of the moment when it has folded the second. */
function startOverlapping(log: Log, documents: Documents, failsAt = Number.POSITIVE_INFINITY) {
  const ahead = Promise.withResolvers<void>();
  const fold: Projection["fold"] = (before, id, event) => {
    const { version = 0 } = (event as { metadata?: { version: number } }).metadata ?? {};
    if (id === "order-0" && version === failsAt) throw new RangeError("it cannot be folded");
    if (id !== "order-0" && version === 2) ahead.resolve();
    return view.fold(before, id, event);
  };
  const views = [{ ...view, fold }, ...others];
  const projector = startProjector(inBatches(log, [BATCH]), documents, "projector", { views, batchEvents: BATCH });
  return { projector, ahead: ahead.promise };
}

async function untilApplied(documents: Documents): Promise<void> {
  const reached = async () => (await documents.checkpoints(view.collection.name))[0]?.sequence;
  await expect.poll(reached, { timeout: 30_000, interval: 5 }).toBe(history.events.length);
}

it("a batch is folded while the one before is written, and written only after it", async () => {
  const { log, documents, slow, released, begun } = await held();
  const { ahead } = startOverlapping(log, slow);
  await ahead;
  expect(begun()).toBe(1);
  released.resolve();
  await untilApplied(documents);
  expect(begun()).toBe(history.events.length / BATCH);
  await expectFolds(documents, log, history);
});

it("of a batch that was folded ahead of one whose write fails, nothing is written, and the next projector begins with both", async () => {
  const { log, documents, slow, released, begun } = await held();
  const { projector, ahead } = startOverlapping(log, slow);
  await ahead;
  released.reject(new DocumentsUnavailableError("the store is away"));
  await expect(projector.stopped).rejects.toThrow("the store is away");
  expect(begun()).toBe(1);
  await project(log, documents);
  await expectFolds(documents, log, history);
});

it("a batch that was folded ahead of one that another projector wrote meanwhile is folded again", async () => {
  const { log, documents, slow, released } = await held();
  const { ahead } = startOverlapping(log, slow);
  await ahead;
  await project(inAnotherGroup(log), documents);
  released.resolve();
  await untilApplied(documents);
  await expectFolds(documents, log, history);
});

it("what was folded ahead of an event that is parked then waits behind it", async () => {
  const { log, documents, slow, released } = await held();
  const { ahead } = startOverlapping(log, slow, 1);
  await ahead;
  released.resolve();
  await untilApplied(documents);
  const [entry, ...more] = await listParked(documents);
  expect(more).toEqual([]);
  expect(entry).toMatchObject({ view: view.name, key: "order-0", event: { sequence: 1 }, depth: history.events.length / 2 });
  expect(await documents.load(view.collection.name, ["order-0", "order-2"])).toMatchObject([undefined, { fields: { version: 3 } }]);
});

it("a generation that another projector has removed is kept no more as soon as the news of it comes, and the others go on", async () => {
  await using log = await newOrderLog(1);
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  const catalogue = openCatalogue(documents);
  const former = { collection: `${view.collection.name}.b1`, version: view.version };
  await project(log, documents);
  await catalogue.change(view, (entry) => ({ ...entry, previous: former }));
  const late: Parameters<CheckpointListener>[] = [];
  let [isLate, refusals] = [false, 0];
  let tell: CheckpointListener = () => {};
  const behind: Documents = {
    ...documents,
    watchCheckpoints(listener, signal, prefix) {
      tell = listener;
      const sometime: CheckpointListener = (...told) => (isLate ? void late.push(told) : listener(...told));
      return documents.watchCheckpoints(sometime, signal, prefix);
    },
    async write(writes, checkpoints) {
      return documents.write(writes, checkpoints).catch((error: unknown) => {
        refusals += 1;
        throw error;
      });
    },
  };
  await using _projector = startProjector(log, behind);
  await expect.poll(() => documents.checkpoints(former.collection), { timeout: 30_000 }).not.toEqual([]);
  isLate = true;
  await catalogue.change(view, dropPrevious);
  await documents.drop([former.collection]);
  await log.append(history.logged.map(recordOf));
  await expect.poll(() => refusals, { timeout: 30_000 }).toBe(1);
  isLate = false;
  for (const told of late) tell(...told);
  await untilApplied(documents);
  await expectFolds(documents, log, history);
  expect(await documents.checkpoints(former.collection)).toEqual([]);
});
