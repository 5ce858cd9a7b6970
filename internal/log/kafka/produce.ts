/** What sending records has in common, in a transaction or not. */

import { crc32 } from "node:zlib";
import type { Message, PartitionerArgs, Producer, RecordMetadata, TopicMessages } from "kafkajs";
import { LogRefusedError, LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { recordBytes, recordBytesAtMost } from "../../cqrs/record-bytes.ts";
import { inTermsOfThePort } from "./errors.ts";
import { createErrorFromCode } from "./kafkajs.ts";
import { BATCH_HEAD_BYTES, type ProduceMessage, RECORD_OVERHEAD } from "./produce-request.ts";

/**
 * What a request brings to one partition at most, but for a record that is larger alone: a topic that was created with the brokers' default
 * for max.message.bytes (1,048,588) takes it.
 */
const MAX_BATCH_BYTES = 1_000_000;

/** What a request brings to all partitions: few requests even for a large slice, and no long pause to encode one. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** Records that travel together to one partition. */
export interface Batch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: RecordMessage[];
  /** Which of the records that were to be sent they are. */
  readonly indexes: number[];
  /** What they have at most. */
  bytes: number;
  /** Whether it is what they have, but for a few bytes of lengths. */
  isMeasured: boolean;
}

/** One batch at most for each partition. */
export interface Request {
  readonly batches: Batch[];
  bytes: number;
}

/** Where the first record of a topic's partition was written, and how many follow it. */
export interface Placed {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly count: number;
  /** The broker's time of all of them; -1 where a topic takes the producers' times. */
  readonly appendedAtMs: number;
}

/** What became of a batch. */
export type Sent = Written | Refused;

export interface Written {
  readonly batch: Batch;
  /** Where its first record was written; the others follow. */
  readonly baseOffset: number;
  readonly appendedAtMs: number;
}

/** It will never be taken as it is. */
export interface Refused {
  readonly batch: Batch;
  readonly refusal: LogRefusedError;
}

/** The partition is chosen before a record comes here: kafkajs asks its partitioner even so. */
export function chosenPartition() {
  return ({ message }: PartitionerArgs): number => message.partition ?? 0;
}

/**
 * Sends records in as many requests as they need, one after the other.
 *
 * @throws {LogRefusedError} some of them will never be taken
 * @throws {LogUnavailableError} nobody knows what was written
 */
export async function sendInOrder(sender: Pick<Producer, "sendBatch">, records: readonly NewRecord[]): Promise<readonly Placed[]> {
  const placed: Placed[] = [];
  for (const request of requestsOf(records)) {
    for (const sent of await send(sender, request)) {
      if ("refusal" in sent) throw sent.refusal;
      const { batch, baseOffset, appendedAtMs } = sent;
      placed.push({ topic: batch.topic, partition: batch.partition, baseOffset, count: batch.messages.length, appendedAtMs });
    }
  }
  return placed;
}

/** @throws {LogUnavailableError} nobody knows what was written */
export async function send(sender: Pick<Producer, "sendBatch">, { batches }: Request): Promise<readonly Sent[]> {
  const messages = new Map<string, RecordMessage[]>();
  for (const batch of batches) {
    const ofTopic = messages.get(batch.topic);
    if (ofTopic === undefined) messages.set(batch.topic, [...batch.messages]);
    else ofTopic.push(...batch.messages);
  }
  // kafkajs hands messages on, as they are, to an encoder of ours: they have the type that it expects.
  const topicMessages = [...messages].map(([topic, ofTopic]): TopicMessages => ({ topic, messages: ofTopic as unknown as Message[] }));
  return sentOf(await sender.sendBatch({ acks: -1, topicMessages }), batches);
}

/** Puts records into requests, so that those of a partition keep their order. */
export function requestsOf(records: readonly NewRecord[]): readonly Request[] {
  const requests: Request[] = [];
  const places = new Map<string, OpenBatch[]>();
  for (const [index, record] of records.entries()) {
    const { topic, partition } = record;
    let ofTopic = places.get(topic);
    if (ofTopic === undefined) places.set(topic, (ofTopic = []));
    const open = (ofTopic[partition] ??= { request: 0, batch: undefined });
    const batch = batchFor(record, open, requests);
    batch.messages.push(messageFromRecord(record));
    batch.indexes.push(index);
  }
  return requests;
}

/** The batch that takes the next record of a partition, and the number of its request. */
interface OpenBatch {
  request: number;
  batch: Batch | undefined;
}

function batchFor(record: NewRecord, open: OpenBatch, requests: Request[]): Batch {
  const bytes = recordBytesAtMost(record, RECORD_OVERHEAD);
  for (; ; open.request += 1, open.batch = undefined) {
    const request = (requests[open.request] ??= { batches: [], bytes: 0 });
    if (request.bytes > 0 && request.bytes + bytes > MAX_REQUEST_BYTES) continue;
    if (open.batch === undefined) {
      open.batch = {
        topic: record.topic,
        partition: record.partition,
        messages: [],
        indexes: [],
        bytes: BATCH_HEAD_BYTES,
        isMeasured: false,
      };
      request.batches.push(open.batch);
    } else if (!hasRoom(open.batch, record, bytes)) continue;
    open.batch.bytes += open.batch.isMeasured ? recordBytes(record, RECORD_OVERHEAD) : bytes;
    request.bytes += bytes;
    return open.batch;
  }
}

/** Texts are measured only when it matters: for a full batch. */
function hasRoom(batch: Batch, record: NewRecord, bytesAtMost: number): boolean {
  if (batch.bytes + bytesAtMost <= MAX_BATCH_BYTES) return true;
  if (!batch.isMeasured)
    batch.bytes = batch.messages.reduce((sum, message) => sum + recordBytes(message, RECORD_OVERHEAD), BATCH_HEAD_BYTES);
  batch.isMeasured = true;
  return batch.bytes + recordBytes(record, RECORD_OVERHEAD) <= MAX_BATCH_BYTES;
}

type RecordMessage = ProduceMessage & Pick<NewRecord, "key" | "value" | "headers"> & { readonly partition: number };

const NO_HEADERS = {};

function messageFromRecord({ partition, key, value, headers = NO_HEADERS }: NewRecord): RecordMessage {
  return { partition, key, value, headers, checksum: value === null ? null : crc32(value).toString(16) };
}

/**
 * kafkajs reports success for a request of which a partition was never written, when its leader moves: so the answer must name each partition
 * exactly once.
 *
 * @throws {LogUnavailableError} it does not; nobody knows what was written
 */
export function sentOf(metadata: readonly RecordMetadata[], batches: readonly Batch[]): readonly Sent[] {
  const waiting = new Map(batches.map((batch) => [`${batch.partition}/${batch.topic}`, batch]));
  const sent = metadata.map(({ topicName, partition, errorCode, baseOffset, logAppendTime = "-1" }): Sent => {
    const place = `${partition}/${topicName}`;
    const batch = waiting.get(place);
    waiting.delete(place);
    const refusal = batch === undefined ? undefined : refusalOfCode(errorCode, topicName);
    if (batch !== undefined && refusal !== undefined) return { batch, refusal };
    if (batch === undefined || errorCode !== 0 || Number(baseOffset) < 0) throw unconfirmed(topicName, partition);
    return { batch, baseOffset: Number(baseOffset), appendedAtMs: Number(logAppendTime) };
  });
  for (const { topic, partition } of waiting.values()) throw unconfirmed(topic, partition);
  return sent;
}

function unconfirmed(topic: string, partition: number): LogUnavailableError {
  return new LogUnavailableError(`partition ${partition} of ${topic} did not confirm what was sent`);
}

function refusalOfCode(code: number, topic: string): LogRefusedError | undefined {
  if (code === 0) return undefined;
  const error = inTermsOfThePort(createErrorFromCode(code), { topic });
  return error instanceof LogRefusedError ? error : undefined;
}
