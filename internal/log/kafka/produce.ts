/** What sending records has in common, in a transaction or not. */

import { crc32 } from "node:zlib";
import type { Message, PartitionerArgs, Producer, RecordMetadata, TopicMessages } from "kafkajs";
import { LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import type { ProduceMessage } from "./produce-request.ts";

/** A larger record is refused before it spoils the batch that it would travel in; topics are created with room for it. */
export const MAX_RECORD_BYTES = 2 * 1024 * 1024;

/** Where the first record of a topic's partition was written, and how many follow it. */
export interface Placed {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly count: number;
  /** The broker's time of all of them; -1 where a topic takes the producers' times. */
  readonly appendedAtMs: number;
}

/** The partition is chosen before a record comes here: kafkajs asks its partitioner even so. */
export function chosenPartition() {
  return ({ message }: PartitionerArgs): number => message.partition ?? 0;
}

/** What one request takes at most: well below what a broker accepts for a partition. */
const MAX_REQUEST_RECORDS = 2_000;
const MAX_REQUEST_BYTES = 1024 * 1024;

/** Whether so much goes in one request. */
export function fitsRequest({ records, bytes }: { readonly records: number; readonly bytes: number }): boolean {
  return records <= MAX_REQUEST_RECORDS && bytes <= MAX_REQUEST_BYTES;
}

export function sizeOf({ key, value }: NewRecord): number {
  return Buffer.byteLength(key) + (value?.length ?? 0);
}

/**
 * Sends records in as many requests as they need, one after the other.
 *
 * @throws {LogUnavailableError} nobody knows what was written
 */
export async function sendInOrder(sender: Pick<Producer, "sendBatch">, records: readonly NewRecord[]): Promise<readonly Placed[]> {
  const placed: Placed[] = [];
  for (const request of requests(records)) {
    placed.push(...baseOffsets(await sender.sendBatch({ acks: -1, topicMessages: topicMessages(request) }), request));
  }
  return placed;
}

function requests(records: readonly NewRecord[]): readonly (readonly NewRecord[])[] {
  const found: NewRecord[][] = [];
  let bytes = 0;
  for (const record of records) {
    const last = found.at(-1);
    bytes += sizeOf(record);
    if (last !== undefined && fitsRequest({ records: last.length + 1, bytes })) last.push(record);
    else {
      found.push([record]);
      bytes = sizeOf(record);
    }
  }
  return found;
}

/** kafkajs hands messages on, as they are, to an encoder of ours: they have the type that it expects. */
function topicMessages(records: readonly NewRecord[]): TopicMessages[] {
  const messages = new Map<string, RecordMessage[]>();
  for (const record of records) {
    const ofTopic = messages.get(record.topic);
    if (ofTopic === undefined) messages.set(record.topic, [messageFromRecord(record)]);
    else ofTopic.push(messageFromRecord(record));
  }
  return [...messages].map(([topic, ofTopic]) => ({ topic, messages: ofTopic as unknown as Message[] }));
}

type RecordMessage = ProduceMessage & { readonly partition: number };

const NO_HEADERS = {};

function messageFromRecord({ partition, key, value, headers = NO_HEADERS }: NewRecord): RecordMessage {
  return { partition, key, value, headers, checksum: value === null ? null : crc32(value).toString(16) };
}

/**
 * kafkajs reports success for a batch of which a partition was never written, when its leader moves: so the answer must name each partition
 * exactly once.
 *
 * @throws {LogUnavailableError} it does not; nobody knows what was written
 */
export function baseOffsets(metadata: readonly RecordMetadata[], records: readonly NewRecord[]): readonly Placed[] {
  const counts = countsOf(records);
  const placed = metadata.map(({ topicName, partition, errorCode, baseOffset, logAppendTime = "-1" }) => {
    const ofTopic = counts.get(topicName);
    const count = ofTopic?.get(partition);
    if (count === undefined || errorCode !== 0 || Number(baseOffset) < 0) {
      throw new LogUnavailableError(`partition ${partition} of ${topicName} did not confirm what was sent`);
    }
    ofTopic?.delete(partition);
    return { topic: topicName, partition, baseOffset: Number(baseOffset), count, appendedAtMs: Number(logAppendTime) };
  });
  for (const [topic, rest] of counts) {
    if (rest.size > 0) throw new LogUnavailableError(`partition ${[...rest.keys()].join()} of ${topic} did not confirm what was sent`);
  }
  return placed;
}

/** How many records go to each partition of each topic. */
function countsOf(records: readonly NewRecord[]): ReadonlyMap<string, Map<number, number>> {
  const counts = new Map<string, Map<number, number>>();
  for (const { topic, partition } of records) {
    const ofTopic = counts.get(topic) ?? new Map<number, number>();
    counts.set(topic, ofTopic.set(partition, (ofTopic.get(partition) ?? 0) + 1));
  }
  return counts;
}
