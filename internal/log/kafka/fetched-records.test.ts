import { expect, it } from "vitest";
import { type Fetched, FetchedRecords } from "./fetched-records.ts";
import { encodeProduceRequest } from "./produce-request.ts";
import { batchesIn, RecordReader } from "./record-batch.ts";

const NO_LIMIT = { maxRecords: 1_000, maxBytes: 1_000_000 };

it("each partition gives its share, and the one that gave least recently comes first", () => {
  const records = new FetchedRecords();
  const fetched = { bytes: 0, parts: 0 };
  for (const partition of [0, 1, 2]) records.add(partition, { records: reader(partition, ["a", "b", "c", "d"]), fetched });
  const takes = [2, 2, 6].map((maxRecords) => records.take({ ...NO_LIMIT, maxRecords }).map(({ partition, key }) => `${partition}${key}`));
  expect(takes).toEqual([
    ["0a", "1a"],
    ["2a", "0b"],
    ["1b", "1c", "2b", "2c", "0c", "0d"],
  ]);
});

it("what a fetch brought counts until the last of it has been taken or dropped", () => {
  const records = new FetchedRecords();
  const fetches: Fetched[] = [
    { bytes: 1_000, parts: 0 },
    { bytes: 500, parts: 0 },
  ];
  for (const fetched of fetches) for (const partition of [0, 1]) records.add(partition, { records: reader(partition, ["a"]), fetched });
  expect(records.bytes).toBe(1_500);
  records.drop(0);
  expect(records.bytes).toBe(1_500);
  records.take({ ...NO_LIMIT, maxRecords: 1 });
  expect(records.take({ ...NO_LIMIT, maxRecords: 1 })).toHaveLength(1);
  expect(records.bytes).toBeLessThanOrEqual(500);
  records.take(NO_LIMIT);
  expect([records.bytes, records.isEmpty]).toEqual([0, true]);
});

it("limits hold together, and a record that is larger than the limit comes alone", () => {
  const records = new FetchedRecords();
  const fetched = { bytes: 0, parts: 0 };
  records.add(0, { records: reader(0, ["a", "b", "large".repeat(100), "c", "d"]), fetched });
  const takes = [30, 30, 30, 30].map((maxBytes) => records.take({ ...NO_LIMIT, maxBytes }).map(({ key }) => key.slice(0, 5)));
  expect(takes).toEqual([["a", "b"], ["large"], ["c", "d"], []]);
});

function reader(partition: number, keys: readonly string[]): RecordReader {
  const messages = keys.map((key) => ({ key, value: "" }));
  const request = { acks: -1, timeout: 0, topicData: [{ topic: "events", partitions: [{ partition, messages }] }] };
  // The batch begins behind the head of a request with one partition.
  const bytes = Buffer.from(encodeProduceRequest(request, 0).subarray(32));
  const place = { topic: "events", partition };
  return new RecordReader([...batchesIn(bytes, place)], place, 0);
}
