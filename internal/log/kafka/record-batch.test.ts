import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { crc32c } from "./crc32c.ts";
import { encodeProduceRequest, type ProduceMessage } from "./produce-request.ts";
import { batchesIn, CorruptRecordError, isAbort, type KafkaRecord, RecordReader } from "./record-batch.ts";

const nowMs = Date.UTC(2026, 10, 26);
const place = { topic: "events", partition: 3 };
const message = { key: "ключ", value: Uint8Array.of(0, 255, 7), headers: { name: "ö", empty: "" }, checksum: "1" } as const;

/** Where the batch begins in a request of one partition, and where in a batch its parts lie. */
const BATCH_AT = 32;
const CHECKSUM_AT = 17;
const ATTRIBUTES_AT = 21;
const RECORDS_AT = 61;
const LENGTH_AT = 8;

it("a record comes back as it was, without its checksum", () => {
  const [record] = recordsOf(batch([message]));
  expect(record).toEqual({
    partition: 3,
    offset: 0,
    key: "ключ",
    value: Buffer.from(message.value),
    headers: message.headers,
    timestampMs: nowMs,
  });
});

it("records count from the offset of their batch, and those of several batches follow one another", () => {
  const second = batch([message, message]);
  second.writeBigInt64BE(5n);
  const records = recordsOf(Buffer.concat([batch([message, message]), second]));
  expect(records.map(({ offset }) => offset)).toEqual([0, 1, 5, 6]);
});

it("records before the one that was asked for are passed over, also those of a whole batch", () => {
  const second = batch([message, message, message]);
  second.writeBigInt64BE(2n);
  const reader = new RecordReader([...batchesIn(Buffer.concat([batch([message, message]), second]), place)], place, 3);
  const found: number[] = [];
  while (reader.nextBytes() !== undefined) found.push(reader.next().offset);
  expect(found).toEqual([3, 4]);
});

it("how large the next record is, is known before it is decoded", () => {
  const sizes = [0, 100, 100_000].map((length) => new Uint8Array(length));
  const reader = new RecordReader(
    [...batchesIn(batch(sizes.map((value) => ({ key: "k", value, headers: { name: "ö" } }))), place)],
    place,
    0,
  );
  for (const { length } of sizes) {
    const bytes = reader.nextBytes() ?? 0;
    const { key, value, headers } = reader.next();
    const content =
      Buffer.byteLength(key) +
      value.length +
      Buffer.byteLength(
        Object.entries(headers ?? {})
          .flat()
          .join(""),
      );
    expect(value.length).toBe(length);
    expect(bytes).toBeGreaterThanOrEqual(content);
    expect(bytes).toBeLessThan(content + 20);
  }
  expect(reader.nextBytes()).toBeUndefined();
});

it("without any header but the checksum a record has none", () => {
  expect(recordsOf(batch([{ ...message, headers: {} }]))[0]).not.toHaveProperty("headers");
});

it("a null value deletes its key, an empty one does not", () => {
  const [deleted, empty] = recordsOf(
    batch([
      { key: "a", value: null },
      { key: "a", value: "" },
    ]),
  );
  expect(deleted).toMatchObject({ deleted: true, value: new Uint8Array() });
  expect(empty).not.toHaveProperty("deleted");
});

it("a batch of which any bit has changed from its checksum on is refused", () => {
  const bytes = batch([message]);
  for (let bit = 8 * CHECKSUM_AT; bit < 8 * bytes.length; bit += 1) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(() => recordsOf(damaged)).toThrow(CorruptRecordError);
  }
  bytes[bytes.length - 1] = 1;
  expect(() => recordsOf(bytes)).toThrow("the batch at offset 0 of partition 3 of events is not what was written");
});

it("a batch whose length cannot be is refused", () => {
  for (const length of [-(2 ** 31), -12, 0, 8, 9]) {
    const damaged = batch([message]);
    damaged.writeInt32BE(length, LENGTH_AT);
    expect(() => recordsOf(damaged)).toThrow(CorruptRecordError);
  }
});

it("a batch that was cut off is left for the next fetch", () => {
  const whole = batch([message]);
  for (let length = 0; length < whole.length; length += 1) {
    expect(recordsOf(Buffer.concat([whole, whole.subarray(0, length)]))).toHaveLength(1);
  }
});

it("with the time of its append, all of a batch has that", () => {
  const bytes = changed(batch([message]), (copy) => {
    copy.writeInt16BE(0x8, ATTRIBUTES_AT);
    copy.writeBigInt64BE(7n, ATTRIBUTES_AT + 14);
  });
  expect(recordsOf(bytes)[0]?.timestampMs).toBe(7);
});

const compressions = [
  ["gzip", 1, gzipSync],
  ["zstd", 4, zstdCompressSync],
] as const;

it.each(compressions)("a batch may be compressed with %s", (_, attributes, compress) => {
  const bytes = compressed(batch([message, { ...message, key: "other" }]), attributes, compress);
  expect(recordsOf(bytes).map(({ key }) => key)).toEqual(["ключ", "other"]);
});

it.each(compressions)("a batch that %s makes much smaller than it is becomes no larger than it may", (_, attributes, compress) => {
  const bytes = compressed(batch([{ key: "a", value: Buffer.alloc(65 * 1024 * 1024) }]), attributes, compress);
  expect(bytes.length).toBeLessThan(100_000);
  expect(() => recordsOf(bytes)).toThrow("the batch at offset 0 of partition 3 of events cannot be unpacked into 67108864 bytes");
});

it("a batch with another compression is refused, and not passed over", () => {
  expect(() => recordsOf(changed(batch([message]), (copy) => copy.writeInt16BE(2, ATTRIBUTES_AT)))).toThrow(
    "the batch at offset 0 of partition 3 of events is compressed with snappy",
  );
});

it("a marker of an abort is told from one of a commit", () => {
  const markers = [0, 1].map((type) => batch([{ key: Uint8Array.of(0, 0, 0, type), value: Uint8Array.of(0, 0, 0, 0, 0, 0) }]));
  expect(markers.flatMap((bytes) => [...batchesIn(bytes, place)].map(isAbort))).toEqual([true, false]);
});

it("what compaction leaves of a batch without its records is read, and ends no transaction", () => {
  const [empty, ...none] = batchesIn(batch([]), place);
  expect([empty?.count, none.length]).toEqual([0, 0]);
  expect(recordsOf(batch([]))).toEqual([]);
  expect(empty !== undefined && isAbort(empty)).toBe(false);
});

function recordsOf(bytes: Buffer): readonly KafkaRecord[] {
  const reader = new RecordReader([...batchesIn(bytes, place)], place, 0);
  const records: KafkaRecord[] = [];
  while (reader.nextBytes() !== undefined) records.push(reader.next());
  return records;
}

function batch(messages: readonly ProduceMessage[]): Buffer {
  const request = { acks: -1, timeout: 0, topicData: [{ topic: "events", partitions: [{ partition: 3, messages }] }] };
  return Buffer.from(encodeProduceRequest(request, nowMs).subarray(BATCH_AT));
}

function compressed(plain: Buffer, attributes: number, compress: (bytes: Buffer) => Buffer): Buffer {
  return changed(Buffer.concat([plain.subarray(0, RECORDS_AT), compress(plain.subarray(RECORDS_AT))]), (copy) => {
    copy.writeInt16BE(attributes, ATTRIBUTES_AT);
    copy.writeInt32BE(copy.length - LENGTH_AT - 4, LENGTH_AT);
  });
}

/** A batch with a change of which its checksum knows. */
function changed(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  copy.writeUInt32BE(crc32c(copy.subarray(ATTRIBUTES_AT)), CHECKSUM_AT);
  return copy;
}
