import fc from "fast-check";
import { expect, it } from "vitest";
import { LogRefusedError, LogUnavailableError, type NewRecord, RecordsTooLargeError } from "../../cqrs/log.ts";
import { recordBytes } from "../../cqrs/record-bytes.ts";
import { requestsOf, sendInOrder, sentOf } from "./produce.ts";
import { encodeProduceRequest } from "./produce-request.ts";

const TOPIC_AUTHORIZATION_FAILED = 29;
const MESSAGE_TOO_LARGE = 10;
const NOT_LEADER = 6;

/** The brokers' default for max.message.bytes. */
const LEAST_MAX_MESSAGE_BYTES = 1_048_588;

const [request] = requestsOf([record("events", 0), record("events", 0), record("events", 1), record("state", 1)]);
const batches = request?.batches ?? [];
const confirmed = [{ ...answer("events", 0, 10), logAppendTime: "1700000000000" }, answer("events", 1, 20), answer("state", 1, 30)];

it("each batch is placed where and when the broker says", () => {
  expect(sentOf(confirmed, batches)).toEqual([
    { batch: batches[0], baseOffset: 10, appendedAtMs: 1_700_000_000_000 },
    { batch: batches[1], baseOffset: 20, appendedAtMs: -1 },
    { batch: batches[2], baseOffset: 30, appendedAtMs: -1 },
  ]);
  expect(batches.map(({ indexes }) => indexes)).toEqual([[0, 1], [2], [3]]);
});

it("an answer that lacks a partition, although it calls itself a success, is none", () => {
  for (const missing of confirmed) expectUnknown(confirmed.filter((each) => each !== missing));
  expectUnknown([]);
});

it("an answer that names a partition twice, or one that was not sent to, is none", () => {
  expectUnknown([...confirmed, answer("events", 0, 11)]);
  expectUnknown([...confirmed, answer("events", 7, 11)]);
});

it("an answer with an error that passes, or without an offset, is none", () => {
  expectUnknown([...confirmed.slice(1), { ...answer("events", 0, 10), errorCode: NOT_LEADER }]);
  expectUnknown([...confirmed.slice(1), answer("events", 0, -1)]);
});

it("what is refused for good is told with its topic and its reason, beside what was written", () => {
  const [tooLarge, written, refused] = sentOf(
    [
      { ...answer("events", 0, -1), errorCode: MESSAGE_TOO_LARGE },
      answer("events", 1, 20),
      { ...answer("state", 1, -1), errorCode: TOPIC_AUTHORIZATION_FAILED },
    ],
    batches,
  );
  expect(written).toMatchObject({ batch: batches[1], baseOffset: 20 });
  expect(tooLarge).toMatchObject({ batch: batches[0], refusal: { name: "RecordsTooLargeError" } });
  expect(refused).toMatchObject({ batch: batches[2], refusal: { name: "LogRefusedError" } });
  expect([tooLarge, refused].map((sent) => sent !== undefined && "refusal" in sent && sent.refusal.message)).toEqual([
    expect.stringMatching(/topic events.*MESSAGE_TOO_LARGE.*raise max\.message\.bytes/),
    expect.stringMatching(/TOPIC_AUTHORIZATION_FAILED.*ACLs.*the topic state$/),
  ]);
});

it("the first refusal ends the sending", async () => {
  const sending = (errorCode: number) =>
    sendInOrder({ sendBatch: () => Promise.resolve([{ ...answer("a", 0, -1), errorCode }]) }, [record("a", 0)]);
  await expect(sending(MESSAGE_TOO_LARGE)).rejects.toBeInstanceOf(RecordsTooLargeError);
  await expect(sending(TOPIC_AUTHORIZATION_FAILED)).rejects.toBeInstanceOf(LogRefusedError);
});

it("records keep their order in each partition, and each goes once, however they are put into requests", () => {
  const size = fc.constantFrom(0, 10, 1_000, 300_000, 1_500_000);
  const place = fc.record({ topic: fc.constantFrom("a", "b"), partition: fc.nat(2), size });
  fc.assert(
    fc.property(fc.array(place, { maxLength: 60 }), (places) => {
      const records = places.map(({ topic, partition, size: length }) => ({ ...record(topic, partition), value: new Uint8Array(length) }));
      const sent = requestsOf(records).flatMap((each) => each.batches);
      expect(sent.flatMap(({ indexes }) => indexes).toSorted((a, b) => a - b)).toEqual([...records.keys()]);
      for (const [, ofPlace] of Map.groupBy(sent, ({ topic, partition }) => `${topic}/${partition}`)) {
        const indexes = ofPlace.flatMap((batch) => batch.indexes);
        expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
      }
    }),
  );
});

const text = fc.string({ unit: "binary", maxLength: 30 });
const someRecords = fc.array(
  fc.record({
    topic: fc.constantFrom("a", "b"),
    partition: fc.nat(1),
    key: text,
    value: fc.nat(40_000).map((length) => new Uint8Array(length)),
    headers: fc.dictionary(text, fc.string({ unit: "binary", maxLength: 600 }), { maxKeys: 12 }),
  }),
  { minLength: 1, maxLength: 200 },
);

it("whatever travels in a batch, a topic with the brokers' default takes it", () => {
  fc.assert(
    fc.property(someRecords, (records) => {
      for (const batch of requestsOf(records).flatMap((each) => each.batches)) {
        expect(encodedBytes(batch)).toBeLessThanOrEqual(LEAST_MAX_MESSAGE_BYTES);
      }
    }),
    { numRuns: 30 },
  );
});

it("2,000 events with long headers, which are the most of them, go in batches that are nearly full", () => {
  const headers = { traceparent: "0".repeat(55), tracestate: "v".repeat(505) };
  const records = Array.from({ length: 2_000 }, () => ({ ...record("a", 0), headers, value: new Uint8Array(700) }));
  const sent = requestsOf(records).flatMap((each) => each.batches);
  const bytes = sent.map(encodedBytes);
  for (const each of bytes) expect(each).toBeLessThanOrEqual(1_000_000);
  for (const each of bytes.slice(0, -1)) expect(each).toBeGreaterThan(950_000);
  const contents = records.reduce((sum, each) => sum + recordBytes(each), 0);
  expect(bytes.reduce((sum, each) => sum + each)).toBeLessThan(contents * 1.05);
});

it("a slice of many partitions goes in few requests, which are no larger than they may be", () => {
  const records = Array.from({ length: 160 }, (_, index) => ({ ...record("a", index % 16), value: new Uint8Array(100_000) }));
  const requests = requestsOf(records);
  expect(requests).toHaveLength(4);
  for (const { bytes } of requests) expect(bytes).toBeLessThanOrEqual(4 * 1024 * 1024);
  const single = requestsOf(records.map((each) => ({ ...each, partition: 0 })));
  expect(single.map((each) => each.batches.map(({ messages }) => messages.length))).toEqual([
    ...Array.from({ length: 17 }, () => [9]),
    [7],
  ]);
});

function expectUnknown(metadata: readonly ReturnType<typeof answer>[]): void {
  expect(() => sentOf(metadata, batches)).toThrow(LogUnavailableError);
}

/** A batch as it is written to a log, without the request around it. */
function encodedBytes({ topic, partition, messages }: (typeof batches)[number]): number {
  const of = (partitions: readonly { readonly partition: number; readonly messages: typeof messages }[]): number =>
    encodeProduceRequest({ acks: -1, timeout: 0, topicData: [{ topic, partitions }] }, Date.now()).length;
  const around = of([]) + 8;
  return of([{ partition, messages }]) - around;
}

function record(topic: string, partition: number): NewRecord {
  return { topic, partition, key: "key", value: Uint8Array.of(1) };
}

function answer(topicName: string, partition: number, baseOffset: number) {
  return { topicName, partition, errorCode: 0, baseOffset: String(baseOffset) };
}
