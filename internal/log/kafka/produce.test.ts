import { expect, it } from "vitest";
import { LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { baseOffsets, sendInOrder } from "./produce.ts";

const records = [record("events", 0), record("events", 0), record("events", 1), record("state", 1)];
const confirmed = [{ ...answer("events", 0, 10), logAppendTime: "1700000000000" }, answer("events", 1, 20), answer("state", 1, 30)];

it("each partition is placed where and when the broker says", () => {
  expect(baseOffsets(confirmed, records)).toEqual([
    { topic: "events", partition: 0, baseOffset: 10, count: 2, appendedAtMs: 1_700_000_000_000 },
    { topic: "events", partition: 1, baseOffset: 20, count: 1, appendedAtMs: -1 },
    { topic: "state", partition: 1, baseOffset: 30, count: 1, appendedAtMs: -1 },
  ]);
});

it("an answer that lacks a partition, although it calls itself a success, is none", () => {
  for (const missing of confirmed) expectUnknown(confirmed.filter((each) => each !== missing));
  expectUnknown([]);
});

it("an answer that names a partition twice, or one that was not sent to, is none", () => {
  expectUnknown([...confirmed, answer("events", 0, 11)]);
  expectUnknown([...confirmed, answer("events", 7, 11)]);
});

it("an answer with an error or without an offset is none", () => {
  expectUnknown([...confirmed.slice(1), { ...answer("events", 0, 10), errorCode: 6 }]);
  expectUnknown([...confirmed.slice(1), answer("events", 0, -1)]);
});

it("what is too much for one request goes in several, in order", async () => {
  const large = Array.from({ length: 5 }, (_, index) => ({
    ...record("events", index % 2),
    key: String(index),
    value: new Uint8Array(400_000),
  }));
  const many = Array.from({ length: 4_500 }, (_, index) => ({ ...record("events", 0), key: `many-${index}` }));
  const sent: string[][] = [];
  const placed = await sendInOrder(
    {
      sendBatch({ topicMessages = [] }) {
        const messages = topicMessages.flatMap((topic) => topic.messages);
        sent.push(messages.map(({ key }) => String(key)));
        const partitions = new Set(messages.map(({ partition }) => partition ?? -1));
        return Promise.resolve([...partitions].map((partition) => answer("events", partition, sent.length * 10_000)));
      },
    },
    [...large, ...many],
  );
  expect(sent.flat()).toEqual([...large, ...many].map(({ key }) => key));
  expect(sent.map((request) => request.length)).toEqual([2, 2, 2_000, 2_000, 501]);
  expect(placed.reduce((sum, { count }) => sum + count, 0)).toBe(large.length + many.length);
});

function expectUnknown(metadata: readonly ReturnType<typeof answer>[]): void {
  expect(() => baseOffsets(metadata, records)).toThrow(LogUnavailableError);
}

function record(topic: string, partition: number): NewRecord {
  return { topic, partition, key: "key", value: Uint8Array.of(1) };
}

function answer(topicName: string, partition: number, baseOffset: number) {
  return { topicName, partition, errorCode: 0, baseOffset: String(baseOffset) };
}
