/** Fetches parts of logs as bytes (version 11). kafkajs decodes every record into a dozen objects, and checks no checksum. */

import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { createErrorFromCode, type FetchBroker } from "./kafkajs.ts";

export interface FetchRequest {
  readonly topic: string;
  /** Where to begin; the first ones are served first. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxPartitionBytes: number;
}

export interface FetchedPartition {
  readonly partition: number;
  /** Before it, every transaction is decided. */
  readonly lastStableOffset: number;
  readonly abortedTransactions: readonly AbortedTransaction[];
  /** The batches, from the one that holds the first wanted record on. */
  readonly bytes: Buffer;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

const FETCH = 1;
const VERSION = 11;

const NO_REPLICA = -1;
const MIN_BYTES = 1;
const READ_COMMITTED = 1;
const NO_SESSION = 0;
const FINAL_EPOCH = -1;
const UNKNOWN = -1;

/** @throws {Error} as kafkajs throws: the connection failed, or the broker refused, for one of the partitions at least */
export async function fetchBytes(broker: FetchBroker, request: FetchRequest): Promise<readonly FetchedPartition[]> {
  const exchange = {
    request: { apiKey: FETCH, apiVersion: VERSION, apiName: "Fetch", encode: () => Promise.resolve({ buffer: encodeRequest(request) }) },
    response: {
      // By this name kafkajs finds the time for which a broker wants to hear nothing more.
      decode: (bytes: Buffer) => Promise.resolve({ clientSideThrottleTime: bytes.readInt32BE(0), bytes }),
      parse: ({ bytes }: { readonly bytes: Buffer }) => Promise.resolve(decodeResponse(bytes)),
    },
  };
  try {
    // It resolves with what `parse` returns.
    return (await broker.connectionPool.send(exchange)) as readonly FetchedPartition[];
  } catch (error) {
    if (error instanceof Error && error.name === "KafkaJSConnectionClosedError") await broker.disconnect();
    throw error;
  }
}

function encodeRequest({ topic, offsets, maxWaitMs, maxBytes, maxPartitionBytes }: FetchRequest): Buffer {
  const writer = new ByteWriter();
  writer.int32(NO_REPLICA);
  writer.int32(maxWaitMs);
  writer.int32(MIN_BYTES);
  writer.int32(maxBytes);
  writer.int8(READ_COMMITTED);
  writer.int32(NO_SESSION);
  writer.int32(FINAL_EPOCH);
  writer.int32(1);
  writer.text16(topic);
  writer.int32(offsets.size);
  for (const [partition, offset] of offsets) {
    writer.int32(partition);
    // The epoch of the leader, and where the log of a replica begins.
    writer.int32(UNKNOWN);
    writer.int64(BigInt(offset));
    writer.int64(BigInt(UNKNOWN));
    writer.int32(maxPartitionBytes);
  }
  // No topics are forgotten, and no rack is named.
  writer.int32(0);
  writer.text16("");
  return writer.from(0);
}

function decodeResponse(bytes: Buffer): readonly FetchedPartition[] {
  const reader = new ByteReader(bytes);
  // The time for which this client shall be quiet.
  reader.skip(4);
  check(reader.int16());
  // The session.
  reader.skip(4);
  return reader
    .array(() => {
      reader.text(reader.int16());
      return reader.array(() => readPartition(reader));
    })
    .flat();
}

function readPartition(reader: ByteReader): FetchedPartition {
  const partition = reader.int32();
  check(reader.int16());
  // The high watermark.
  reader.skip(8);
  const lastStableOffset = Number(reader.int64());
  // Where the log begins.
  reader.skip(8);
  const abortedTransactions = reader.array(() => ({ producerId: reader.int64(), firstOffset: Number(reader.int64()) }));
  // The preferred replica.
  reader.skip(4);
  return { partition, lastStableOffset, abortedTransactions, bytes: reader.bytes(Math.max(0, reader.int32())) };
}

function check(code: number): void {
  if (code !== 0) throw createErrorFromCode(code);
}
