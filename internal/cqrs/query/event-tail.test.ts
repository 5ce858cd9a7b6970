import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Documents, DocumentsUnavailableError } from "../documents.ts";
import type { Projection, View } from "../projection.ts";
import { type ParkedKey, parkedAnnouncement, parkedCollection, parkedId } from "../projector/parking.ts";
import { parkedWrite } from "../projector/stored-parked-keys.ts";
import { applied, checkpointAt, introduce, testStream } from "../testing/positions.ts";
import { beginning, markOfAll, placeOfEvent, sequencesAt } from "./event-position.ts";
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
  expect(await tail.at(new Map([[0, 4]]))).toEqual(new Map([[0, { sequence: 4, mark: undefined }]]));
});

describe("where an event is parked", () => {
  const filter: EventFilter<OrderEvent> = {
    isWanted: () => true,
    query: (partition) => ({
      where: [{ field: partitionField, op: "eq", value: partition }],
      sort: [{ field: sequenceField, descending: false }],
    }),
  };

  it.each([
    ["near", 10, undefined],
    ["near, with a filter", 10, filter],
    ["far, with a filter", 1_000, filter],
  ] as const)("the partition waits for the operator, and the others do not: %s", async (_what, count, wanted) => {
    await put(0, 1, 5);
    await put(0, 7, count);
    await put(1, 1, 3);
    const entry = await park(6);
    const events = tail.follow(beginning, wanted === undefined ? {} : { filter: wanted }, forever);
    const before = await takenUntil(events, { 0: 5, 1: 3 });
    expect([sequencesIn(before, 0), sequencesIn(before, 1)]).toEqual([range(1, 5), range(1, 3)]);
    const waiting = takenUntil(events, { 0: count + 1 });
    await put(0, count + 1, count + 1);
    await put(0, 6, 6, { checkpoint: false });
    await decideOn({ ...entry, state: "retried" });
    expect(sequencesIn(await waiting, 0)).toEqual(range(6, count + 1));
  });

  it.each([undefined, filter])("is passed over when it was left out for good", async (wanted) => {
    await put(0, 1, 5);
    await put(0, 7, 10);
    const entry = await park(6);
    const events = tail.follow(beginning, wanted === undefined ? {} : { filter: wanted }, forever);
    await takenUntil(events, { 0: 5 });
    const rest = takenUntil(events, { 0: 10 });
    await decideOn({ ...entry, state: "skipped", skipped: [6] });
    expect(sequencesIn(await rest, 0)).toEqual(range(7, 10));
    expect(sequencesIn(await takenUntil(tail.follow(beginning, {}, forever), { 0: 10 }), 0)).toEqual([...range(1, 5), ...range(7, 10)]);
  });

  it("may be the last one, and who begins there has a position", async () => {
    await put(0, 1, 5);
    await documents.write([], [checkpointAt(history, 0, 6)]);
    await park(6);
    const end = await tail.end();
    expect(end).toEqual(new Map([[0, { sequence: 6, mark: undefined }]]));
    const events = tail.follow(end, {}, forever);
    const waiting = next(events);
    await put(0, 7, 8);
    expect(sequencesIn([await waiting], 0)).toEqual([7, 8]);
  });

  it("what is missing otherwise is not passed over", async () => {
    await put(0, 1, 5);
    await put(0, 7, 8);
    await put(0, 10, 12);
    await park(9);
    await expect(tail.follow(beginning, {}, forever).next()).rejects.toThrow(DocumentsUnavailableError);
  });

  /** The entry of an order of which an event cannot be read. */
  async function park(sequence: number): Promise<ParkedKey> {
    await documents.prepare([parkedCollection]);
    const place = { collection: history.collection.name, stream: testStream, partition: 0, scope: "aggregate", key: "bad" } as const;
    const entry: ParkedKey = {
      ...place,
      id: parkedId(place),
      revision: 0,
      view: history.name,
      state: "parked",
      event: { sequence, offset: sequence, aggregateId: "bad", recordedAtMs: 1 },
      error: "unreadable",
      parkedAtMs: 1,
      depth: 1,
      queuedTo: sequence,
      skipped: [],
      answers: [],
    };
    expect(await documents.write([parkedWrite(entry)], [])).toEqual([]);
    return { ...entry, revision: 1 };
  }

  /** As a projector does it that has done what an operator wanted. */
  async function decideOn(entry: ParkedKey): Promise<void> {
    expect(await documents.write([parkedWrite(entry)], [parkedAnnouncement(entry, { atMs: 2 })])).toEqual([]);
  }
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
