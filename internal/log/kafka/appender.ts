/**
 * Appends without a transaction: one request under way at a time, and everything that comes meanwhile shares the next. Concurrent sends of an
 * idempotent kafkajs producer lose records; this one is not idempotent, and duplicates are removed by their command id.
 */

import { LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { unavailable } from "./errors.ts";
import { Kafka, type KafkaConfig } from "./kafkajs.ts";
import { chosenPartition, fitsRequest, type Placed, sendInOrder, sizeOf } from "./produce.ts";

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
  let closed = false;

  return {
    append(records) {
      if (closed) return Promise.reject(new LogUnavailableError("the log is closed"));
      const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
      if (queuedBytes + bytes > MAX_QUEUED_BYTES)
        return Promise.reject(new LogUnavailableError("Kafka takes records too slowly; try again"));
      return new Promise((resolve, reject) => {
        queue.push({ records, bytes, resolve, reject });
        queuedBytes += bytes;
        sending ??= drain();
      });
    },
    async [Symbol.asyncDispose]() {
      closed = true;
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
      return index > 0 && !fitsRequest({ records, bytes });
    });
    const batch = end === -1 ? queue : queue.slice(0, end);
    queue = end === -1 ? [] : queue.slice(end);
    return batch;
  }

  async function send(batch: readonly Waiting[]): Promise<void> {
    const records = batch.flatMap((waiting) => waiting.records);
    try {
      const offsets = offsetsOf(await sendInOrder(producer, records), records);
      for (const waiting of batch) waiting.resolve(offsets.splice(0, waiting.records.length));
    } catch (error) {
      for (const waiting of batch) waiting.reject(error instanceof LogUnavailableError ? error : unavailable(error));
    } finally {
      for (const waiting of batch) queuedBytes -= waiting.bytes;
    }
  }
}

/** The offset of each record, in the order in which they were sent. */
function offsetsOf(placed: readonly Placed[], records: readonly NewRecord[]): number[] {
  const runs = Map.groupBy(placed, ({ topic, partition }) => `${partition}/${topic}`);
  const next = new Map(
    [...runs].map(([place, ofPlace]) => [place, ofPlace.flatMap(({ baseOffset, count }) => range(baseOffset, count)).values()]),
  );
  return records.map(({ topic, partition }) => next.get(`${partition}/${topic}`)?.next().value ?? -1);
}

function range(start: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => start + index);
}
