/**
 * Encodes a produce request (version 3, with batches of Kafka's message format 2) into one buffer. kafkajs copies each record ten times on its
 * way there, into zeroed buffers that are twice as large as they need to be.
 */

import { ByteWriter } from "./byte-writer.ts";
import { crc32c } from "./crc32c.ts";

/** What kafkajs makes a request of. */
export interface ProduceRequest {
  readonly transactionalId?: string | undefined;
  readonly acks: number;
  readonly timeout: number;
  readonly producerId?: string | number;
  readonly producerEpoch?: number;
  readonly topicData: readonly { readonly topic: string; readonly partitions: readonly ProducePartition[] }[];
}

export interface ProducePartition {
  readonly partition: number;
  readonly firstSequence?: number;
  readonly messages: readonly ProduceMessage[];
}

export interface ProduceMessage {
  readonly key?: string | Uint8Array | null;
  readonly value: string | Uint8Array | null;
  readonly headers?: Readonly<Record<string, string | Uint8Array>>;
  /** The value of one more header, behind the others. */
  readonly checksum?: string | null;
}

/** The header with the checksum, the CRC32 of the value in hexadecimal: for readers that do not check the batch's own. */
export const CHECKSUM_HEADER = "crc32";

const MAGIC = 2;
const TRANSACTIONAL = 16;
const NO_PRODUCER = -1;

/** Of the key and the headers of an event. What is not written to costs nothing. */
const EXPECTED_BYTES_PER_RECORD = 512;

/** What comes before the records of a batch. */
export const BATCH_HEAD_BYTES = 61;

/**
 * What a record and each of its headers has beside its contents, at most: lengths of two megabytes take four bytes. With the checksum,
 * which travels as one more header.
 */
export const RECORD_OVERHEAD = { perRecord: 40, perHeader: 8 } as const;

/** A record's length takes two bytes, unless the record is very small or large. */
const RECORD_LENGTH_BYTES = 2;

/**
 * The request behind its head, for which so many bytes are free before it. Every record was made `nowMs`, in milliseconds since 1970.
 */
export function encodeProduceRequest(request: ProduceRequest, nowMs: number, headRoomBytes = 0): Buffer {
  const { transactionalId = null, acks, timeout, topicData } = request;
  const writer = new ByteWriter(headRoomBytes + expectedBytes(request));
  writer.room(headRoomBytes);
  writer.text16(transactionalId);
  writer.int16(acks);
  writer.int32(timeout);
  writer.int32(topicData.length);
  for (const { topic, partitions } of topicData) {
    writer.text16(topic);
    writer.int32(partitions.length);
    for (const partition of partitions) {
      writer.int32(partition.partition);
      const size = writer.room(4);
      writeBatch(writer, request, partition, nowMs);
      writer.int32At(size, writer.length - size - 4);
    }
  }
  return writer.from(headRoomBytes);
}

function expectedBytes({ topicData }: ProduceRequest): number {
  let bytes = 0;
  for (const { partitions } of topicData) {
    for (const { messages } of partitions) for (const { value } of messages) bytes += EXPECTED_BYTES_PER_RECORD + (value?.length ?? 0);
  }
  return bytes;
}

function writeBatch(writer: ByteWriter, request: ProduceRequest, { firstSequence = 0, messages }: ProducePartition, nowMs: number): void {
  const { transactionalId, producerId = NO_PRODUCER, producerEpoch = 0 } = request;
  writer.int64(0n);
  const size = writer.room(4);
  writer.int32(0);
  writer.int8(MAGIC);
  const checksum = writer.room(4);
  writer.int16(transactionalId === undefined ? 0 : TRANSACTIONAL);
  writer.int32(messages.length - 1);
  writer.int64(BigInt(nowMs));
  writer.int64(BigInt(nowMs));
  writer.int64(BigInt(producerId));
  writer.int16(producerEpoch);
  writer.int32(firstSequence);
  writer.int32(messages.length);
  for (const [index, message] of messages.entries()) writeRecord(writer, message, index);
  writer.int32At(size, writer.length - size - 4);
  writer.int32At(checksum, crc32c(writer.from(checksum + 4)));
}

function writeRecord(writer: ByteWriter, { key = null, value, headers = {}, checksum = null }: ProduceMessage, index: number): void {
  const start = writer.room(RECORD_LENGTH_BYTES);
  // Attributes, of which none are defined, and the time since the first record.
  writer.int8(0);
  writer.varint(0);
  writer.varint(index);
  writer.varBytes(key);
  writer.varBytes(value);
  const names = Object.keys(headers);
  writer.varint(names.length + (checksum === null ? 0 : 1));
  for (const name of names) {
    writer.varBytes(name);
    writer.varBytes(headers[name] ?? null);
  }
  if (checksum !== null) {
    writer.varBytes(CHECKSUM_HEADER);
    writer.varBytes(checksum);
  }
  writer.varLengthAt(start, RECORD_LENGTH_BYTES);
}
