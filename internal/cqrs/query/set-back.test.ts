/** Documents that go back under a query service that runs: removed to be built again, or restored from an older backup. */

import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type CheckpointListener, type Documents, DocumentsUnavailableError } from "../documents.ts";
import type { View } from "../projection.ts";
import { generationsCollection } from "../projector/generations.ts";
import { applied, checkpointAt, introduce, positions } from "../testing/positions.ts";
import { createEventTail, type EventFilter, partitionField, sequenceField } from "./event-tail.ts";
import { type Freshness, startFreshness } from "./freshness.ts";
import { sharedRead } from "./shared-read.ts";

const forever = new AbortController().signal;
const view = orders.views[1] as View<typeof OrderEventSchema>;

/** Far enough that the wanted ones are looked for, and not all read. */
const EVENTS = 600;

let documents: Documents;
let freshness: Freshness;
let setBacks: number;
/** Whether nobody is told of anything. */
let isQuiet: boolean;
/** Tells what a store tells that has lost documents. */
let tellAll: () => Promise<void>;

beforeEach(async () => {
  const store = await openEmbeddedDocuments({ inMemory: true });
  const listeners: CheckpointListener[] = [];
  documents = {
    ...store,
    guarantees: { neverGoBack: false },
    watchCheckpoints(listener, signal, prefix) {
      listeners.push(listener);
      const loud: CheckpointListener = (checkpoints, areAll) => {
        if (!isQuiet) listener(checkpoints, areAll);
      };
      return store.watchCheckpoints(loud, signal, prefix);
    },
  };
  tellAll = async () => {
    const all = await documents.checkpoints(view.collection.name);
    for (const listener of listeners) listener(all, true);
  };
  isQuiet = false;
  await documents.prepare([view.collection]);
  await introduce(documents, [view], 2);
  freshness = await startFreshness({ documents, views: [view] });
  setBacks = 0;
  freshness.onSetBack(() => (setBacks += 1));
  onTestFinished(async () => {
    await freshness[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });
});

it("what was reached before is not confirmed any more, before anybody is told, and then waited for again", async () => {
  await put(1, 9);
  await freshness.waitFor(view, positions({ 0: 9 }), forever);
  expect(await freshness.confirms(view, positions({ 0: 9 }))).toBe(true);
  isQuiet = true;
  await remove();
  await put(1, 5);
  expect(await freshness.confirms(view, positions({ 0: 9 }))).toBe(false);
  expect(setBacks).toBe(1);
  await expect.poll(() => freshness.positions(view)).toEqual(positions({ 0: 5 }));
  isQuiet = false;
  const waiting = freshness.waitFor(view, positions({ 0: 9 }), forever);
  await put(6, 9);
  await waiting;
  expect(await freshness.confirms(view, positions({ 0: 9 }))).toBe(true);
});

it("documents that are gone are noticed when the store tells what is left, and with them the stream that they followed", async () => {
  await put(1, 9);
  await remove();
  await documents.drop([generationsCollection.name]);
  await tellAll();
  await expect.poll(() => freshness.streams).toEqual([]);
  expect(setBacks).toBe(1);
  // What it follows is not known any more, so nothing of it is confirmed.
  expect(await freshness.confirms(view, positions({ 0: 9 }))).toBe(false);
  const known = freshness.known(forever);
  await introduce(documents, [view], 2, { id: "stream-2", partitions: 3 });
  expect(await known).toEqual([{ id: "stream-2", partitions: 3 }]);
  expect(freshness.positions(view)).toEqual(new Map());
});

it("a checkpoint that is lower says that an older backup was restored; what only comes late says nothing", async () => {
  await put(1, 9);
  await remove();
  await put(1, 4);
  await expect.poll(() => freshness.positions(view)).toEqual(positions({ 0: 4 }));
  expect(setBacks).toBe(1);
  await put(5, 6);
  await tellAll();
  await expect.poll(() => freshness.positions(view)).toEqual(positions({ 0: 6 }));
  expect(setBacks).toBe(1);
});

it("a subscription with a filter delivers everything, or nothing until everything is there", async () => {
  await put(1, EVENTS);
  isQuiet = true;
  await remove();
  // What is there while it is built, with a checkpoint that covers it.
  await put(1, 300);
  const tail = createEventTail<OrderEvent>({ documents: freshness.documents, freshness, view });
  const all = tail.follow(new Map(), { partitions: [0], filter }, forever);
  await expect(all.next()).rejects.toThrow(DocumentsUnavailableError);
  await expect.poll(() => freshness.positions(view)).toEqual(positions({ 0: 300 }));
  isQuiet = false;
  await put(301, EVENTS);
  const sequences: number[] = [];
  for await (const chunk of tail.follow(new Map(), { partitions: [0], filter }, forever)) {
    sequences.push(...chunk.events.map(({ metadata }) => Number(metadata?.sequence)));
    if (chunk.place.sequence === EVENTS) break;
  }
  expect(sequences).toEqual(Array.from({ length: EVENTS / 5 }, (_, index) => index * 5 + 3));
});

it("where documents never go back, nothing is read to confirm it", async () => {
  let reads = 0;
  const counted: Documents = {
    ...documents,
    guarantees: { neverGoBack: true },
    checkpoints(collection) {
      reads += 1;
      return documents.checkpoints(collection);
    },
  };
  await using other = await startFreshness({ documents: counted, views: [view] });
  const before = reads;
  expect(await other.confirms(view, positions({ 0: 9 }))).toBe(true);
  expect(reads).toBe(before);
});

it("those who ask at the same time share a read that began after the question, and one is under way at a time", async () => {
  const answers: (() => void)[] = [];
  let begun = 0;
  const ask = sharedRead(() => {
    begun += 1;
    const { promise, resolve } = Promise.withResolvers<number>();
    answers.push(resolve.bind(undefined, begun));
    return promise;
  });
  const first = ask();
  await expect.poll(() => begun).toBe(1);
  const later = [ask(), ask(), ask()];
  expect(begun).toBe(1);
  answers[0]?.();
  expect(await first).toBe(1);
  await expect.poll(() => begun).toBe(2);
  answers[1]?.();
  expect(await Promise.all(later)).toEqual([2, 2, 2]);
});

const filter: EventFilter<OrderEvent> = {
  isWanted: ({ customerId }) => customerId === "c3",
  query: (partition) => ({
    where: [
      { field: "customerId", op: "eq", value: "c3" },
      { field: partitionField, op: "eq", value: partition },
    ],
    sort: [{ field: sequenceField, descending: false }],
  }),
};

async function remove(): Promise<void> {
  await documents.drop([view.collection.name]);
  await documents.prepare([view.collection]);
}

/** Events of five customers with these sequences, as a projector would write them. */
async function put(from: number, to: number): Promise<void> {
  const writes = Array.from({ length: to - from + 1 }, (_, index) => {
    const sequence = from + index;
    const metadata = { aggregateId: "order", version: sequence, sequence: BigInt(sequence) };
    const facts = { case: "lineRemoved", value: { lineId: "1" } } as const;
    const event = create(OrderEventSchema, { metadata, customerId: `c${sequence % 5}`, event: facts });
    const upTo = applied({ 0: sequence });
    const [id = ""] = view.keys(event);
    return { collection: view.collection.name, id, expectedRevision: 0, applied: upTo, fields: view.encode(event, upTo) };
  });
  expect(await documents.write(writes, [checkpointAt(view, 0, to)])).toEqual([]);
  if (!isQuiet) await freshness.waitFor(view, positions({ 0: to }), forever);
}
