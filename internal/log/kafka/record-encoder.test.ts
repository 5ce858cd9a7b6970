import { createRequire } from "node:module";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type EncodableRecord, encodeRecord } from "./record-encoder.ts";

const require = createRequire(import.meta.url);
const encodeAsKafkaJs = require("kafkajs/src/protocol/recordBatch/record/v0") as (record: EncodableRecord) => { readonly buffer: Buffer };

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

it("a record is encoded as kafkajs encodes it, byte for byte", () => {
  const record = fc.record({
    offsetDelta: fc.nat(100_000),
    timestampDelta: fc.nat(2 ** 30),
    key: fc.option(fc.oneof(fc.string({ unit: "grapheme" }), bytes)),
    value: fc.option(fc.oneof(bytes, fc.constant(Buffer.alloc(70_000, 1)))),
    headers: fc.dictionary(fc.string({ unit: "grapheme" }), fc.oneof(fc.string({ unit: "grapheme" }), bytes)),
  });
  fc.assert(
    fc.property(record, (any) => {
      expect(encodeRecord(any).equals(encodeAsKafkaJs(any).buffer)).toBe(true);
    }),
  );
});

it("records too far apart in time are refused", () => {
  expect(() => encodeRecord({ timestampDelta: 2 ** 31 })).toThrow(RangeError);
});
