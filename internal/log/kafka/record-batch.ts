/** Kafka's record batches (message format 2), and the records in them. */

import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type { LogRecord } from "../../cqrs/log.ts";
import { ByteReader } from "./byte-reader.ts";
import { crc32c } from "./crc32c.ts";
import { CHECKSUM_HEADER } from "./produce-request.ts";

/** The place of what is read. */
export interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}

export interface RecordBatch {
  readonly firstOffset: number;
  /** Also where compaction has removed the last record. */
  readonly lastOffset: number;
  readonly producerId: bigint;
  readonly isTransactional: boolean;
  /** It has no data, but the marker of a transaction's end. */
  readonly isControl: boolean;
  readonly count: number;
  readonly attributes: number;
  readonly firstTimestampMs: number;
  readonly lastTimestampMs: number;
  /** Not unpacked yet. */
  readonly packed: Buffer;
}

/** A record as it is read: a null value deletes its key. */
export type KafkaRecord = LogRecord & { readonly deleted?: true };

/** Bytes that are not what was written. Nothing can be decided on them. */
export class CorruptRecordError extends Error {
  override readonly name = "CorruptRecordError";
}

const NO_BYTES = new Uint8Array();

/** Of a batch: what lies before its length is counted from, and up to where its checksum begins. */
const LENGTH_END = 12;
const CHECKSUM_END = 21;
const MAGIC = 2;

/**
 * What a batch may be unpacked. Ours have 2 MiB before a broker compresses them, and others' clients 16 MiB at most by their defaults; a few
 * kilobytes could become gigabytes.
 */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;

const COMPRESSION = 0x7;
const GZIP = 1;
const ZSTD = 4;
const APPEND_TIME = 0x8;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/**
 * The batches in a fetched part of a log. Its last one may have been cut off, and comes whole with the next fetch.
 *
 * @throws {CorruptRecordError} a batch is not what was written
 */
export function* batchesIn(bytes: Buffer, { topic, partition }: PartitionName): Generator<RecordBatch> {
  for (let start = 0; start + CHECKSUM_END <= bytes.length; ) {
    const end = start + LENGTH_END + bytes.readInt32BE(start + 8);
    if (end > bytes.length) return;
    const reader = new ByteReader(bytes.subarray(start, Math.max(end, start + CHECKSUM_END)));
    const firstOffset = Number(reader.int64());
    // The length, and the epoch of the leader.
    reader.skip(8);
    if (reader.int8() !== MAGIC || reader.uint32() !== crc32c(bytes.subarray(start + CHECKSUM_END, end))) {
      throw new CorruptRecordError(`the batch at offset ${firstOffset} of partition ${partition} of ${topic} is not what was written`);
    }
    yield readHead(reader, firstOffset);
    start = end;
  }
}

function readHead(reader: ByteReader, firstOffset: number): RecordBatch {
  const attributes = reader.int16();
  const lastOffset = firstOffset + reader.int32();
  const firstTimestampMs = Number(reader.int64());
  const lastTimestampMs = Number(reader.int64());
  const producerId = reader.int64();
  // The producer's epoch and the first record's sequence number.
  reader.skip(6);
  return {
    firstOffset,
    lastOffset,
    producerId,
    isTransactional: (attributes & TRANSACTIONAL) !== 0,
    isControl: (attributes & CONTROL) !== 0,
    count: reader.int32(),
    attributes,
    firstTimestampMs,
    lastTimestampMs,
    packed: reader.bytes(reader.left),
  };
}

/** The records of batches from an offset on. Each batch is unpacked, and each record decoded, when its turn comes. */
export class RecordReader {
  readonly #place: PartitionName;
  readonly #batches: readonly RecordBatch[];
  readonly #from: number;
  #nextBatch = 0;
  #batch: RecordBatch | undefined;
  #reader = new ByteReader(Buffer.alloc(0));
  /** Records of the batch that are not looked at yet. */
  #rest = 0;
  /** What is known of the record that is next: the reader stands behind its offset. */
  #hasNext = false;
  #nextBytes = 0;
  #nextEnd = 0;
  #nextOffset = 0;
  #nextTimestampMs = 0;

  constructor(batches: readonly RecordBatch[], place: PartitionName, from: number) {
    this.#batches = batches;
    this.#place = place;
    this.#from = from;
  }

  /**
   * How many bytes the next record has: a little more than its key, value and headers. Undefined behind the last one.
   *
   * @throws {Error} its batch is compressed in a way that cannot be read here
   */
  nextBytes(): number | undefined {
    while (!this.#hasNext && this.#findRecord()) this.#readPlace();
    return this.#hasNext ? this.#nextBytes : undefined;
  }

  /** The next record, of which `nextBytes` has been asked. */
  next(): KafkaRecord {
    const reader = this.#reader;
    const key = reader.varText() ?? "";
    const value = reader.varBytes();
    const headers = readHeaders(reader);
    reader.skip(this.#nextEnd - reader.at);
    this.#hasNext = false;
    return {
      partition: this.#place.partition,
      offset: this.#nextOffset,
      key,
      value: value ?? NO_BYTES,
      timestampMs: this.#nextTimestampMs,
      ...(headers === undefined ? {} : { headers }),
      ...(value === null ? ({ deleted: true } as const) : {}),
    };
  }

  /** Stands before a record, in the next batch that has one. */
  #findRecord(): boolean {
    while (this.#rest === 0) {
      this.#batch = this.#batches[this.#nextBatch];
      if (this.#batch === undefined) return false;
      this.#nextBatch += 1;
      this.#rest = this.#batch.count;
      this.#reader = new ByteReader(unpack(this.#batch, this.#place));
    }
    return true;
  }

  /** A batch may begin before the record that was asked for. */
  #readPlace(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    const reader = this.#reader;
    this.#rest -= 1;
    this.#nextBytes = reader.varint();
    this.#nextEnd = reader.at + this.#nextBytes;
    // Attributes, of which none are defined.
    reader.skip(1);
    const timestampMs = reader.varint() + batch.firstTimestampMs;
    this.#nextTimestampMs = (batch.attributes & APPEND_TIME) === 0 ? timestampMs : batch.lastTimestampMs;
    this.#nextOffset = reader.varint() + batch.firstOffset;
    this.#hasNext = this.#nextOffset >= this.#from;
    if (!this.#hasNext) reader.skip(this.#nextEnd - reader.at);
  }
}

/** Without the checksum of the value: that of the batch has been checked. */
function readHeaders(reader: ByteReader): Record<string, string> | undefined {
  let headers: Record<string, string> | undefined;
  for (let rest = reader.varint(); rest > 0; rest -= 1) {
    const name = reader.varText() ?? "";
    const value = reader.varText() ?? "";
    if (name === CHECKSUM_HEADER) continue;
    headers ??= {};
    headers[name] = value;
  }
  return headers;
}

/** Whether a control batch ends its transaction by an abort. Its key is a version and a type, of 16 bits each; type 0 is an abort. */
export function isAbort({ count, packed }: RecordBatch): boolean {
  // Compaction leaves the last batch of a producer without its marker, after a day.
  if (count === 0) return false;
  const reader = new ByteReader(packed);
  reader.varint();
  reader.skip(1);
  reader.varint();
  reader.varint();
  const key = reader.varBytes();
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}

/** We write without compression; others may not, and a broker may be told to compress. */
function unpack({ attributes, packed, firstOffset }: RecordBatch, { topic, partition }: PartitionName): Buffer {
  const compression = attributes & COMPRESSION;
  const options = { maxOutputLength: MAX_UNPACKED_BYTES };
  const batch = `the batch at offset ${firstOffset} of partition ${partition} of ${topic}`;
  try {
    if (compression === 0) return packed;
    if (compression === GZIP) return gunzipSync(packed, options);
    if (compression === ZSTD) return zstdDecompressSync(packed, options);
  } catch (error) {
    throw new CorruptRecordError(`${batch} cannot be unpacked into ${MAX_UNPACKED_BYTES} bytes: ${String(error)}`, { cause: error });
  }
  const name = ["none", "gzip", "snappy", "lz4", "zstd"][compression] ?? "a method that is not known";
  throw new Error(
    `${batch} is compressed with ${name}, which cannot be read here: whoever writes it, or compression.type of the topic, must use gzip, zstd or none`,
  );
}
