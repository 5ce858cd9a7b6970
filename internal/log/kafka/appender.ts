/**
 * Appends without a transaction: one request under way at a time, and everything that comes meanwhile shares the next. Concurrent sends of an
 * idempotent kafkajs producer lose records; this one is not idempotent, and duplicates are removed by their command id.
 */

import { LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { unavailable } from "./fetcher.ts";
import { Kafka, type KafkaConfig } from "./kafkajs.ts";
import { baseOffsets, chosenPartition, MAX_RECORD_BYTES, type Placed, topicMessages } from "./produce.ts";

/** What one request takes at most: well below what a broker accepts. */
const MAX_BATCH_RECORDS = 2_000;
const MAX_BATCH_BYTES = 1024 * 1024;

/** What may wait for its turn before callers are told to come back. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

export interface Appender extends AsyncDisposable {
  append(records: readonly NewRecord[]): Promise<readonly number[]>;
}

interface Waiting {
  readonly records: readonly NewRecord[];
  readonly bytes: number;
  readonly resolve: (offsets: readonly number[]) => void;
  readonly reject: (error: Error) => void;
}

export async function startAppender(config: KafkaConfig): Promise<Appender> {
  const producer = new Kafka(config).producer({
    idempotent: false,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: chosenPartition,
    ...(config.retry === undefined ? {} : { retry: config.retry }),
  });
  await producer.connect();
  let queue: Waiting[] = [];
  let queuedBytes = 0;
  let sending: Promise<void> | undefined;

  return {
    append(records) {
      const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
      const large = records.find((record) => sizeOf(record) > MAX_RECORD_BYTES);
      if (large !== undefined) return Promise.reject(new RangeError(`a record for ${large.topic} has more than ${MAX_RECORD_BYTES} bytes`));
      if (queuedBytes + bytes > MAX_QUEUED_BYTES) return Promise.reject(new LogUnavailableError("Kafka takes records too slowly; try again"));
      return new Promise((resolve, reject) => {
        queue.push({ records, bytes, resolve, reject });
        queuedBytes += bytes;
        sending ??= drain();
      });
    },
    async [Symbol.asyncDispose]() {
      await sending;
      await producer.disconnect();
    },
  };

  async function drain(): Promise<void> {
    while (queue.length > 0) await send(nextBatch());
    sending = undefined;
  }

  function nextBatch(): readonly Waiting[] {
    let records = 0;
    let bytes = 0;
    const end = queue.findIndex((waiting, index) => {
      records += waiting.records.length;
      bytes += waiting.bytes;
      return index > 0 && (records > MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES);
    });
    const batch = end === -1 ? queue : queue.slice(0, end);
    queue = end === -1 ? [] : queue.slice(end);
    return batch;
  }

  async function send(batch: readonly Waiting[]): Promise<void> {
    const records = batch.flatMap((waiting) => waiting.records);
    try {
      const placed = records.length === 0 ? [] : baseOffsets(await producer.sendBatch({ acks: -1, topicMessages: topicMessages(records) }), records);
      const next = offsetsOf(placed);
      for (const waiting of batch) waiting.resolve(waiting.records.map(next));
    } catch (error) {
      for (const waiting of batch) waiting.reject(error instanceof LogUnavailableError ? error : unavailable(error));
    } finally {
      for (const waiting of batch) queuedBytes -= waiting.bytes;
    }
  }
}

/** Gives the offset of each record in the order in which they were sent. */
function offsetsOf(placed: readonly Placed[]): (record: NewRecord) => number {
  const offsets = new Map(placed.map(({ topic, partition, baseOffset }) => [`${partition}/${topic}`, baseOffset]));
  return ({ topic, partition }) => {
    const offset = offsets.get(`${partition}/${topic}`) ?? -1;
    offsets.set(`${partition}/${topic}`, offset + 1);
    return offset;
  };
}

function sizeOf({ key, value }: NewRecord): number {
  return key.length + (value?.length ?? 0);
}
