import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Documents, DocumentsUnavailableError } from "../documents.ts";
import type { Projection, View } from "../projection.ts";
import { applied, checkpointAt, introduce } from "../testing/positions.ts";
import { markOfAll, placeOfEvent, sequencesAt } from "./event-position.ts";
import { createEventTail, type EventChunk, type EventFilter, type EventTail, partitionField, sequenceField } from "./event-tail.ts";
import { startFreshness } from "./freshness.ts";

const partitions = 2;
const forever = new AbortController().signal;
const [other, history] = orders.views as [Projection, View<typeof OrderEventSchema>];

let documents: Documents;
let tail: EventTail<OrderEvent>;
let bothTail: EventTail<OrderEvent>;
let finds: number;

beforeEach(async () => {
  documents = await openEmbeddedDocuments({ inMemory: true });
  await documents.prepare([history.collection]);
  await introduce(documents, [other, history], partitions);
  const freshness = await startFreshness({ documents, views: [other, history] });
  onTestFinished(async () => {
    await freshness[Symbol.asyncDispose]();
    await documents[Symbol.asyncDispose]();
  });
  finds = 0;
  const counted: Pick<Documents, "find"> = {
    find(query) {
      finds += 1;
      return documents.find(query);
    },
  };
  tail = createEventTail({ documents: counted, freshness, view: history });
  bothTail = createEventTail({ documents: counted, freshness, view: history, alongside: [other] });
});

it("all events of all partitions come once, in the order of each partition", async () => {
  await put(0, 1, 1_000);
  await put(1, 1, 10);
  const chunks = await takenUntil(tail.follow(new Map(), {}, forever), { 0: 1_000, 1: 10 });
  expect(sequencesIn(chunks, 0)).toEqual(range(1, 1_000));
  expect(sequencesIn(chunks, 1)).toEqual(range(1, 10));
});

it("a partition does not wait for all of another", async () => {
  await put(0, 1, 1_000);
  await put(1, 1, 10);
  const chunks = await takenUntil(tail.follow(new Map(), {}, forever), { 0: 1_000, 1: 10 });
  expect(chunks.findIndex(({ partition }) => partition === 1)).toBe(1);
});

it("only what is behind the position comes, and then what is new", async () => {
  await put(0, 1, 10);
  const events = tail.follow(await tail.at(new Map([[0, 8]])), {}, forever);
  const before = await takenUntil(events, { 0: 10 });
  const waiting = takenUntil(events, { 0: 12 });
  await put(0, 11, 12);
  expect(sequencesIn([...before, ...(await waiting)], 0)).toEqual([9, 10, 11, 12]);
});

it("events that are written, but not complete, are not there", async () => {
  await put(0, 1, 5);
  await put(0, 6, 6, { checkpoint: false });
  await put(0, 8, 8, { checkpoint: false });
  const events = tail.follow(new Map(), {}, forever);
  expect(sequencesIn([await next(events)], 0)).toEqual(range(1, 5));
  expect(sequencesAt(await tail.end())).toEqual(new Map([[0, 5]]));
});

it("events that are missing are not passed over, and there when they are there again", async () => {
  await put(0, 1, 2);
  await put(0, 4, 5);
  await expect(tail.follow(new Map(), {}, forever).next()).rejects.toThrow(DocumentsUnavailableError);
  await put(0, 3, 3, { checkpoint: false });
  expect(sequencesIn([await next(tail.follow(new Map(), {}, forever))], 0)).toEqual(range(1, 5));
});

it("events that another view does not show are not there, if they are to be read alongside", async () => {
  await put(0, 1, 5);
  const events = bothTail.follow(new Map(), {}, forever);
  const waiting = next(events);
  await documents.write([], [checkpointAt(other, 0, 3)]);
  expect(sequencesIn([await waiting], 0)).toEqual(range(1, 3));
});

it("all who are at the same place share what is read", async () => {
  const end = await tail.end();
  const followers = Array.from({ length: 100 }, () => tail.follow(end, {}, forever));
  const waiting = Promise.all(followers.map(next));
  await put(0, 1, 5);
  const chunks = await waiting;
  expect(new Set(chunks)).toHaveProperty("size", 1);
  expect(finds).toBe(1);
});

it.each([10, 1_000])("of %i events the wanted ones are found, near and far", async (count) => {
  await put(0, 1, count);
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
  const chunks = await takenUntil(tail.follow(new Map(), { filter, partitions: [0] }, forever), { 0: count });
  expect(chunks.at(-1)?.place).toEqual((await tail.end()).get(0));
  expect(sequencesIn(chunks, 0)).toEqual(range(1, count).filter((sequence) => sequence % 5 === 3));
});

it("a position is that of its events, and of no others that come to stand there", async () => {
  await put(0, 1, 3);
  await put(1, 1, 1);
  const [end, once] = [await tail.end(), finds];
  expect(await tail.at(sequencesAt(end))).toEqual(end);
  expect(finds).toBe(once);
  expect(markOfAll(await tail.end([0]))).not.toBe(markOfAll(end));
  for (const [partition, sequence, change] of [
    [0, 3, { commandId: "another" }],
    [0, 3, { recordedAt: timestampFromMs(1) }],
    [0, 3, { eventId: "another" }],
  ] as const) {
    const event = eventAt(partition, sequence);
    expect(placeOfEvent(partition, event)).toEqual(end.get(0));
    Object.assign(event.metadata ?? {}, change);
    expect(placeOfEvent(partition, event)).not.toEqual(end.get(0));
  }
  await expect(tail.at(new Map([[0, 4]]))).rejects.toThrow(DocumentsUnavailableError);
});

it("the events end with the signal", async () => {
  const left = new AbortController();
  const waiting = tail.follow(new Map(), {}, left.signal).next();
  left.abort();
  expect((await waiting).done).toBe(true);
});

/** Events of five customers with these sequences, as a projector would write them. */
async function put(partition: number, from: number, to: number, { checkpoint = true } = {}): Promise<void> {
  const writes = range(from, to).map((sequence) => {
    const event = eventAt(partition, sequence);
    const upTo = applied({ [partition]: sequence });
    const [id = ""] = history.keys(event);
    return { collection: history.collection.name, id, expectedRevision: 0, applied: upTo, fields: history.encode(event, upTo) };
  });
  expect(await documents.write(writes, checkpoint ? [checkpointAt(history, partition, to)] : [])).toEqual([]);
}

function eventAt(partition: number, sequence: number): OrderEvent {
  const aggregateId = `order-${partition}`;
  const metadata = {
    aggregateId,
    version: sequence,
    sequence: BigInt(sequence),
    eventId: `${aggregateId}/${sequence}`,
    commandId: `c-${sequence}`,
  };
  const facts = { case: "lineRemoved", value: { lineId: "1" } } as const;
  return create(OrderEventSchema, { metadata, customerId: `c${sequence % 5}`, event: facts });
}

async function next(events: AsyncIterator<EventChunk<OrderEvent>>): Promise<EventChunk<OrderEvent>> {
  return (await events.next()).value;
}

/** Chunks until these sequences are reached. */
async function takenUntil(events: AsyncIterator<EventChunk<OrderEvent>>, sequences: Readonly<Record<number, number>>) {
  const chunks: EventChunk<OrderEvent>[] = [];
  const missing = new Map(Object.entries(sequences));
  while (missing.size > 0) {
    const chunk = await next(events);
    chunks.push(chunk);
    if (chunk.place.sequence >= (missing.get(String(chunk.partition)) ?? 0)) missing.delete(String(chunk.partition));
  }
  return chunks;
}

function sequencesIn(chunks: readonly EventChunk<OrderEvent>[], partition: number): number[] {
  return chunks
    .filter((chunk) => chunk.partition === partition)
    .flatMap(({ events }) => events.map(({ metadata }) => Number(metadata?.sequence)));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
