import { expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { Documents } from "../documents.ts";
import type { Projection } from "../projection.ts";
import { generationsCollection, inGeneration, openCatalogue } from "../projector/generations.ts";
import { applied, checkpointAt, introduce, positions, testStream } from "../testing/positions.ts";
import { type Freshness, NotYetVisibleError, startFreshness } from "./freshness.ts";

const forever = new AbortController().signal;
const [view, otherView] = orders.views as [Projection, Projection];

async function started({ isIntroduced = true } = {}) {
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  await documents.prepare(orders.views.map(({ collection }) => collection));
  if (isIntroduced) await introduce(documents, orders.views, 4);
  return { documents, freshness: await follow(documents) };
}

async function follow(documents: Documents): Promise<Freshness> {
  const freshness = await startFreshness({ documents, views: orders.views });
  onTestFinished(() => freshness[Symbol.asyncDispose]());
  return freshness;
}

function checkpoint(sequence: number, of = view, partition = 0, eventTimeMs = 0) {
  return checkpointAt(of, partition, sequence, { eventTimeMs });
}

it("the stream is known as soon as a projector has written it down, also to those who waited", async () => {
  const { documents, freshness } = await started({ isIntroduced: false });
  expect(freshness.streams).toEqual([]);
  expect(() => freshness.stream(view)).toThrow(NotYetVisibleError);
  const known = freshness.known(forever);
  await introduce(documents, orders.views, 24);
  expect(await known).toEqual([{ id: testStream, partitions: 24 }]);
  expect(await freshness.known(AbortSignal.abort())).toEqual(freshness.streams);
  await expect.poll(() => freshness.stream(otherView).partitions).toBe(24);
});

it("a view that nobody has introduced yet shows no position of any stream", async () => {
  const { documents, freshness } = await started({ isIntroduced: false });
  await introduce(documents, [otherView], 4);
  await freshness.known(forever);
  await expect(freshness.waitFor(view, positions({ 0: 1 }), AbortSignal.abort())).rejects.toThrow(NotYetVisibleError);
});

it("who does not wait any more for the stream is told so, also if the wait is over before it begins", async () => {
  const { freshness } = await started({ isIntroduced: false });
  await expect(freshness.known(AbortSignal.timeout(10))).rejects.toThrow(NotYetVisibleError);
  await expect(freshness.known(AbortSignal.abort())).rejects.toThrow(NotYetVisibleError);
});

it("a position is waited for until the view has it in all partitions", async () => {
  const { documents, freshness } = await started();
  let over = false;
  const wait = freshness.waitFor(view, positions({ 0: 5, 2: 1 }), forever).finally(() => (over = true));
  await documents.write([], [checkpoint(5), checkpoint(9, otherView, 2)]);
  await expect.poll(() => freshness.positions(otherView)).toEqual(positions({ 2: 9 }));
  expect(over).toBe(false);
  await documents.write([], [checkpoint(1, view, 2)]);
  await wait;
  expect(freshness.positions(view)).toEqual(positions({ 0: 5, 2: 1 }));
});

it("a wait that is over before the view is there says so", async () => {
  const { documents, freshness } = await started();
  await documents.write([], [checkpoint(5)]);
  await expect(freshness.waitFor(view, positions({ 0: 6 }), AbortSignal.timeout(10))).rejects.toThrow(NotYetVisibleError);
  await expect(freshness.waitFor(view, positions({ 1: 1 }), AbortSignal.abort())).rejects.toThrow(view.name);
});

it("what was reached before it began is known at once, and what nobody asks for is no matter", async () => {
  const { documents } = await started();
  await documents.write([], [checkpoint(5), { ...checkpoint(7), collection: "another-service.v1", stream: "stream-2" }]);
  const late = await follow(documents);
  expect(late.streams).toEqual([{ id: testStream, partitions: 4 }]);
  await late.waitFor(view, positions({ 0: 5 }), AbortSignal.abort());
  await late.waitFor(view, new Map(), AbortSignal.abort());
});

it("a view is as fresh as the newest event of any of its partitions, and of an unknown age before the first", async () => {
  const { documents, freshness } = await started();
  await documents.write([], [checkpoint(0)]);
  expect(freshness.latestEventMs(view)).toBeUndefined();
  await documents.write([], [checkpoint(1, view, 0, 2_000)]);
  await documents.write([], [checkpoint(1, view, 1, 1_000), checkpoint(1, otherView, 1, 3_000)]);
  await expect.poll(() => freshness.latestEventMs(otherView)).toBe(3_000);
  expect(freshness.latestEventMs(view)).toBe(2_000);
});

it("another generation is read only when it shows no less in any partition", async () => {
  const { documents, freshness } = await started();
  const next = inGeneration(view, { collection: "next", version: view.version });
  await documents.prepare([generationsCollection, next.collection]);
  await documents.write([], [checkpoint(5), checkpoint(3, view, 1), checkpoint(5, next), checkpoint(2, next, 1)]);
  const { name } = next.collection;
  await openCatalogue(documents).change(view, (entry) => ({ ...entry, live: { collection: name, version: view.version } }));
  await documents.write([], [checkpoint(6)]);
  await documents.write([], [checkpoint(3, next, 1)]);
  await expect.poll(() => freshness.positions(view).get(testStream)?.get(0)).toBe(6);
  expect(freshness.collection(view)).toBe(view.collection.name);
  const waiting = freshness.waitFor(view, positions({ 0: 7 }), AbortSignal.timeout(30_000));
  await documents.write([], [checkpoint(7, next)]);
  await waiting;
  expect(freshness.collection(view)).toBe("next");
  expect(freshness.positions(view)).toEqual(positions({ 0: 7, 1: 3 }));
});

it("who starts later reads the generation that is live, under the view's own name", async () => {
  const { documents } = await started();
  const next = inGeneration(view, { collection: "next", version: view.version });
  await documents.prepare([generationsCollection, next.collection]);
  await openCatalogue(documents).change(view, (entry) => ({ ...entry, live: { collection: "next", version: view.version } }));
  await documents.write(
    [{ collection: "next", id: "a", expectedRevision: 0, applied: applied({ 0: 1 }), fields: {} }],
    [checkpoint(1, next)],
  );
  const late = await follow(documents);
  expect(late.collection(view)).toBe("next");
  expect(await late.documents.load(view.collection.name, ["a"])).toMatchObject([{ id: "a" }]);
  expect((await late.documents.find({ collection: view.collection.name, where: [], sort: [], limit: 5 })).documents).toHaveLength(1);
});
