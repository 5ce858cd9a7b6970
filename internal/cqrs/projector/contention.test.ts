/** Documents that many projectors write at once: none of them ends over it, and nothing is counted twice or not at all. */

import { create } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { systemClock } from "../../platform/clock.ts";
import type { Documents } from "../documents.ts";
import type { ReadableEvent } from "../event/delivered-event.ts";
import type { Projection } from "../projection.ts";
import { createContention } from "./contention.ts";
import { createEventFolder } from "./event-folder.ts";

const WRITERS = 24;

/** One document for all partitions. */
const view = orders.views.find(({ name }) => name === "order-counts") as Projection;

async function openDocuments(): Promise<Documents> {
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  await documents.prepare([view.collection]);
  return documents;
}

/** A projector of one partition, which folds each batch while the one before is written. */
function createWriter(documents: Documents, partition: number) {
  const folder = createEventFolder({ documents, clock: systemClock, instance: `writer-${partition}` });
  let sequence = 0;
  return {
    async write(batches: number): Promise<void> {
      let writing = Promise.resolve();
      for (let batch = 0; batch < batches; batch += 1) {
        const events = Array.from({ length: 1 + (batch % 3) }, () => createdEvent(partition, (sequence += 1)));
        const folded = await folder.fold([{ view, events }]);
        await writing;
        writing = folder.write(folded, []);
      }
      await writing;
    },
    written: () => sequence,
  };
}

function createdEvent(partition: number, sequence: number): ReadableEvent {
  const metadata = { aggregateId: `order-${partition}-${sequence}`, version: 1, sequence: BigInt(sequence) };
  const event = create(OrderEventSchema, { metadata, status: OrderStatus.DRAFT, event: { case: "orderCreated", value: {} } });
  if (event.metadata === undefined) throw new Error("the event has no metadata");
  const place = { stream: "events", partition, offset: sequence, sequence };
  return { ...place, aggregateId: metadata.aggregateId, recordedAtMs: 0, event, metadata: event.metadata };
}

it("two dozen that write one document count every event once, also when they become few and many again", async () => {
  const documents = await openDocuments();
  const writers = Array.from({ length: WRITERS }, (_, partition) => createWriter(documents, partition));
  for (const [count, batches] of [
    [WRITERS, 8],
    [1, 50],
    [WRITERS, 8],
    [2, 30],
  ] as const) {
    await Promise.all(writers.slice(0, count).map((writer) => writer.write(batches)));
    const [document] = await documents.load(view.collection.name, ["all"]);
    const events = writers.reduce((sum, writer) => sum + writer.written(), 0);
    expect(document?.fields["statuses"]).toEqual([expect.objectContaining({ orderCount: events })]);
  }
});

it("a document that somebody else changes each time is given up after minutes, and the reason says which it is", async () => {
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    after(delayMs: number, callback: () => void) {
      nowMs += delayMs;
      queueMicrotask(callback);
      return () => undefined;
    },
  };
  const attempts = createContention({ clock, instance: "one" }).begin();
  const failed = async (): Promise<never> => {
    for (;;) await attempts.failed(["order-counts.v1/all"]);
  };
  await expect(failed()).rejects.toThrow(/the document order-counts\.v1\/all was changed before each of \d+ attempts to write it in 120 s/);
});

it("no two projectors wait alike", async () => {
  const waitsOf = async (instance: string): Promise<readonly number[]> => {
    const waits: number[] = [];
    const after = (delayMs: number, callback: () => void): (() => void) => {
      waits.push(delayMs);
      queueMicrotask(callback);
      return () => undefined;
    };
    const attempts = createContention({ clock: { now: () => 0, after }, instance }).begin();
    for (let count = 0; count < 20; count += 1) await attempts.failed(["key"]);
    return waits;
  };
  const [one, other] = [await waitsOf("projector-0"), await waitsOf("projector-1")];
  expect(one.filter((wait, index) => wait === other[index])).toEqual([]);
  expect(Math.max(...one)).toBeGreaterThan(one[0] ?? 0);
});
