import { expect, it } from "vitest";
import type { FetchedMessage } from "./kafkajs.ts";
import { CorruptRecordError, messageFromRecord, recordFromMessage } from "./record.ts";

const record = { topic: "events", partition: 3, key: "ключ", value: Uint8Array.of(0, 255, 7), headers: { name: "ö" } };

it("a record comes back as it was, without the checksum", () => {
  const { partition, key, value, headers } = record;
  expect(recordFromMessage(fetched(), 3, "events")).toEqual({
    partition,
    key,
    value: Buffer.from(value),
    headers,
    offset: 5,
    timestampMs: 7,
  });
});

it("a record of which any bit has changed is refused", () => {
  for (let bit = 0; bit < 8 * record.value.length; bit += 1) {
    const value = Buffer.from(record.value);
    value[bit >> 3] = (value[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(() => recordFromMessage({ ...fetched(), value }, 3, "events")).toThrow(CorruptRecordError);
  }
  expect(() => recordFromMessage({ ...fetched(), value: Buffer.alloc(0) }, 3, "events")).toThrow("offset 5 of partition 3 of events");
});

it("a null value deletes its key, an empty one does not", () => {
  expect(recordFromMessage({ ...fetched(null), value: null }, 3, "state").deleted).toBe(true);
  expect(recordFromMessage(fetched(new Uint8Array()), 3, "state").deleted).toBeUndefined();
});

function fetched(value: Uint8Array | null = record.value): FetchedMessage {
  const message = messageFromRecord({ ...record, value });
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, text]) => [name, Buffer.from(text)]));
  const batchContext = { producerId: "-1", producerEpoch: -1, inTransaction: false };
  return {
    offset: "5",
    timestamp: "7",
    key: Buffer.from(message.key),
    value: message.value,
    headers,
    isControlRecord: false,
    batchContext,
  };
}
