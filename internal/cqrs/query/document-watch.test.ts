import { beforeEach, expect, it, onTestFinished } from "vitest";
import { orders as order } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { Order, OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import { type Documents, DocumentsUnavailableError } from "../documents.ts";
import { partitionOf } from "../partition.ts";
import type { View } from "../projection.ts";
import { applied, checkpointAt, introduce } from "../testing/positions.ts";
import { createDocumentWatch, type DocumentWatch, type Shown } from "./document-watch.ts";
import { startFreshness } from "./freshness.ts";

const partitions = 2;
// The runtime's tests know the views of orders only as views.
const view = order.views[0] as View<typeof OrderSchema>;
const forever = new AbortController().signal;

let documents: Documents;
let watch: DocumentWatch<Order>;
/** The ids of every load, in order. */
let loads: (readonly string[])[];
/** What a load waits for before it reads, or fails of. */
let gate: Promise<unknown>;
/** What its answer waits for. */
let answerGate: Promise<unknown>;
let sequence: number;
let maxBytes: number | undefined;

beforeEach(async () => {
  documents = await openEmbeddedDocuments({ inMemory: true });
  await documents.prepare([view.collection]);
  await introduce(documents, [view], partitions);
  const freshness = await startFreshness({ documents, views: [view] });
  onTestFinished(async () => {
    await freshness[Symbol.asyncDispose]();
    await documents[Symbol.asyncDispose]();
  });
  loads = [];
  gate = Promise.resolve();
  answerGate = Promise.resolve();
  sequence = 0;
  maxBytes = undefined;
  const gated = {
    async load(collection: string, ids: readonly string[]) {
      loads.push(ids);
      await gate;
      const found = await documents.load(collection, ids, maxBytes);
      await answerGate;
      return found;
    },
  };
  watch = createDocumentWatch({ documents: gated, freshness, view });
});

it("who follows sees what is there, and then what it becomes", async () => {
  await put("a", 1);
  const states = watch.follow("a", forever);
  expect(await versionOf(states.next())).toBe(1);
  await put("a", 2);
  expect(await versionOf(states.next())).toBe(2);
});

it("who follows what is not there yet is told so, and sees it when it is", async () => {
  const states = watch.follow("a", forever);
  expect(await versionOf(states.next())).toBeUndefined();
  await put("a", 1);
  expect(await versionOf(states.next())).toBe(1);
});

it("documents that are too large to be loaded together are shown one after the other", async () => {
  maxBytes = 1;
  const ids = ["a", "b", "c"];
  for (const id of ids) await put(id, 1);
  const shown = ids.map((id) => versionOf(watch.follow(id, forever).next()));
  expect(await Promise.all(shown)).toEqual([1, 1, 1]);
});

it("who is slow sees the latest only", async () => {
  await put("a", 1);
  const [slow, quick] = [watch.follow("a", forever), watch.follow("a", forever)];
  await Promise.all([slow.next(), quick.next()]);
  for (const version of [2, 3, 4]) {
    await put("a", version);
    expect(await versionOf(quick.next())).toBe(version);
  }
  expect(await versionOf(slow.next())).toBe(4);
});

it("what does not change is not shown again", async () => {
  const [a, b] = [idIn(0, "a"), idIn(0, "b")];
  await put(a, 1);
  const states = watch.follow(a, forever);
  await states.next();
  const next = states.next();
  for (const version of [1, 2, 3]) await put(b, version);
  await put(a, 2);
  expect(await versionOf(next)).toBe(2);
});

it("all who follow documents of a partition share its loads, of which one is under way at a time", async () => {
  const ids = ["a", "b", "c"].map((name) => idIn(1, name));
  for (const id of ids) await put(id, 1);
  const followers = ids.flatMap((id) => Array.from({ length: 50 }, () => watch.follow(id, forever)));
  await Promise.all(followers.map((states) => states.next()));
  loads = [];
  const opened = Promise.withResolvers<void>();
  gate = opened.promise;
  const next = followers.map((states) => states.next());
  for (let version = 2; version <= 20; version += 1) for (const id of ids) await put(id, version);
  await expect.poll(() => loads).toHaveLength(1);
  opened.resolve();
  expect(new Set(await Promise.all(next.map(versionOf)))).toEqual(new Set([20]));
  await expect.poll(() => loads.length).toBeLessThanOrEqual(2);
});

it("who joins during a load is shown what was loaded after he came", async () => {
  const id = idIn(0, "a");
  await put(id, 1);
  const opened = Promise.withResolvers<void>();
  answerGate = opened.promise;
  const first = watch.follow(id, forever).next();
  await expect.poll(() => loads).toEqual([[id]]);
  // Loads are answered in order: the first has read.
  await documents.load(view.collection.name, [id]);
  await put(id, 2);
  const second = watch.follow(id, forever).next();
  opened.resolve();
  expect(await Promise.all([versionOf(first), versionOf(second)])).toEqual([1, 2]);
});

it("a load that fails is told to those who wait for it, and nobody else", async () => {
  const states = watch.follow("a", forever);
  await states.next();
  const failing = Promise.reject(new DocumentsUnavailableError("away"));
  failing.catch(() => undefined);
  gate = failing;
  const next = states.next();
  await put("a", 1);
  await expect(next).rejects.toThrow(DocumentsUnavailableError);
  gate = Promise.resolve();
  expect(await versionOf(watch.follow("a", forever).next())).toBe(1);
});

it("nothing is loaded for those who have left", async () => {
  const left = new AbortController();
  const [aborted, returned] = [watch.follow("a", left.signal), watch.follow("a", forever)];
  await Promise.all([aborted.next(), returned.next()]);
  const ended = aborted.next();
  left.abort();
  expect((await ended).done).toBe(true);
  await returned.return(undefined);
  loads = [];
  await put("a", 1);
  await watch.follow(idIn(partitionOf("a", partitions), "other"), forever).next();
  expect(loads.flat()).not.toContain("a");
});

/** Writes a version of an order, as a projector would after an event of it. */
async function put(id: string, version: number): Promise<void> {
  sequence += 1;
  const partition = partitionOf(id, partitions);
  const fields = { orderId: id, version };
  const write = {
    collection: view.collection.name,
    id,
    expectedRevision: version - 1,
    applied: applied({ [partition]: sequence }),
    fields,
  };
  expect(await documents.write([write], [checkpointAt(view, partition, sequence)])).toEqual([]);
}

async function versionOf(state: Promise<IteratorResult<Shown<Order>, unknown>>): Promise<number | undefined> {
  const { value } = await state;
  return (value as Shown<Order>).document?.version;
}

function idIn(partition: number, name: string): string {
  for (let count = 0; ; count += 1) if (partitionOf(`${name}-${count}`, partitions) === partition) return `${name}-${count}`;
}
