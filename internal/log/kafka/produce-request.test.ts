import { createRequire } from "node:module";
import fc from "fast-check";
import { expect, it, vi } from "vitest";
import { recordBytes } from "../../cqrs/record-bytes.ts";
import { crc32c } from "./crc32c.ts";
import { BATCH_HEAD_BYTES, encodeProduceRequest, type ProduceRequest, RECORD_OVERHEAD } from "./produce-request.ts";

const require = createRequire(import.meta.url);
const requestOfKafkaJs = require("kafkajs/src/protocol/requests/produce/v3/request") as (request: ProduceRequest) => {
  encode(): Promise<{ readonly buffer: Buffer }>;
};
const crc32cOfKafkaJs = require("kafkajs/src/protocol/recordBatch/crc32C") as (bytes: Uint8Array) => number;

const nowMs = Date.UTC(2026, 10, 26);
const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ minLength: 60, maxLength: 70 }));
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const message = fc.record({
  key: fc.option(fc.oneof(text, bytes)),
  value: fc.option(fc.oneof(text, bytes, fc.constant(Buffer.alloc(70_000, 1)))),
  headers: fc.dictionary(text, fc.oneof(text, bytes)),
});
const partition = fc.record({ partition: fc.nat(), firstSequence: fc.nat(), messages: fc.array(message, { minLength: 1, maxLength: 5 }) });
const common = {
  acks: fc.constantFrom(-1, 1),
  timeout: fc.nat(),
  topicData: fc.array(fc.record({ topic: text, partitions: fc.array(partition, { maxLength: 3 }) }), { maxLength: 3 }),
};
const request = fc.oneof(
  fc.record(common),
  fc.record({
    ...common,
    transactionalId: fc.uuid(),
    producerId: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String),
    producerEpoch: fc.nat(0x7fff),
  }),
);

it("a request is encoded as kafkajs encodes it, byte for byte", async () => {
  vi.setSystemTime(nowMs);
  await fc.assert(
    fc.asyncProperty(request, async (any) => {
      expect(encodeProduceRequest(any, nowMs).equals((await requestOfKafkaJs(any).encode()).buffer)).toBe(true);
    }),
  );
});

it("many records in one batch are encoded as kafkajs encodes them", async () => {
  vi.setSystemTime(nowMs);
  const messages = Array.from({ length: 3_000 }, (_, index) => ({
    key: `key ${index}`,
    value: "value",
    headers: { index: String(index) },
  }));
  const large = { acks: -1, timeout: 1, topicData: [{ topic: "events", partitions: [{ partition: 7, messages }] }] };
  expect(encodeProduceRequest(large, nowMs).equals((await requestOfKafkaJs(large).encode()).buffer)).toBe(true);
});

it("a batch has no more bytes than its records are counted with, and hardly less", () => {
  const recordsOf = fc.array(fc.record({ key: text, value: fc.uint8Array({ maxLength: 20_000 }), headers: fc.dictionary(text, text) }), {
    minLength: 1,
    maxLength: 20,
  });
  fc.assert(
    fc.property(recordsOf, (records) => {
      const messages = records.map((each) => ({ ...each, checksum: "ffffffff" }));
      const bytesOf = (partitions: readonly { readonly partition: number; readonly messages: typeof messages }[]): number =>
        encodeProduceRequest({ acks: -1, timeout: 1, topicData: [{ topic: "events", partitions }] }, nowMs).length;
      // Without the number of the partition and the size of its batch.
      const encoded = bytesOf([{ partition: 7, messages }]) - bytesOf([]) - 8;
      const counted = records.reduce((sum, each) => sum + recordBytes(each, RECORD_OVERHEAD), BATCH_HEAD_BYTES);
      const headers = records.flatMap((each) => Object.keys(each.headers)).length;
      expect(encoded).toBeLessThanOrEqual(counted);
      expect(encoded).toBeGreaterThan(counted - 30 * records.length - 8 * headers);
    }),
  );
});

it("a checksum is what kafkajs calculates, and what everybody agrees on", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (any) => {
      expect(crc32c(any)).toBe(crc32cOfKafkaJs(any));
    }),
  );
});
