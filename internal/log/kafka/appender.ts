/**
 * Appends without a transaction: one request under way at a time, and everything that comes meanwhile shares the next. Concurrent sends of an
 * idempotent kafkajs producer lose records; this one is not idempotent, and duplicates are removed by their command id.
 */

import { type LogRefusedError, LogUnavailableError, type NewRecord, RecordsTooLargeError } from "../../cqrs/log.ts";
import { recordBytes } from "../../cqrs/record-bytes.ts";
import { inTermsOfThePort } from "./errors.ts";
import { Kafka, type KafkaConfig } from "./kafkajs.ts";
import { chosenPartition, requestsOf, send } from "./produce.ts";

/** What may wait for its turn before callers are told to come back. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

/** What callers share in one turn: much for one request, little enough that the next ones do not wait long. */
const MAX_SHARED_RECORDS = 2_000;
const MAX_SHARED_BYTES = 1024 * 1024;

export interface Appender extends AsyncDisposable {
  append(records: readonly NewRecord[]): Promise<readonly number[]>;
}

/** What a caller appends. */
interface Waiting {
  readonly records: readonly NewRecord[];
  readonly bytes: number;
  /** Of the records that are written. */
  readonly offsets: number[];
  unwritten: number;
  refusal?: LogRefusedError;
  readonly resolve: (offsets: readonly number[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A record of a caller, which has this place in what he appends. */
interface Entry {
  readonly record: NewRecord;
  readonly caller: Waiting;
  readonly index: number;
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
      const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
      if (queuedBytes + bytes > MAX_QUEUED_BYTES)
        return Promise.reject(new LogUnavailableError("Kafka takes records too slowly; try again"));
      return new Promise((resolve, reject) => {
        queue.push({ records, bytes, offsets: [], unwritten: records.length, resolve, reject });
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
    while (queue.length > 0) await appendAll(nextCallers());
    sending = undefined;
  }

  function nextCallers(): readonly Waiting[] {
    let records = 0;
    let bytes = 0;
    const end = queue.findIndex((waiting, index) => {
      records += waiting.records.length;
      bytes += waiting.bytes;
      return index > 0 && (records > MAX_SHARED_RECORDS || bytes > MAX_SHARED_BYTES);
    });
    const callers = end === -1 ? queue : queue.slice(0, end);
    queue = end === -1 ? [] : queue.slice(end);
    return callers;
  }

  async function appendAll(callers: readonly Waiting[]): Promise<void> {
    let failure: unknown;
    try {
      await deliver(callers.flatMap((caller) => caller.records.map((record, index) => ({ record, caller, index }))));
    } catch (error) {
      failure = inTermsOfThePort(error);
    }
    for (const { bytes, offsets, unwritten, refusal, resolve, reject } of callers) {
      queuedBytes -= bytes;
      if (unwritten === 0) resolve(offsets);
      else reject(refusal ?? failure);
    }
  }

  /** @throws {Error} as kafkajs throws, or {LogUnavailableError}: nobody knows what was written of the rest */
  async function deliver(entries: readonly Entry[]): Promise<void> {
    for (const request of requestsOf(entries.map(({ record }) => record))) {
      for (const sent of await send(producer, request)) {
        const own = sent.batch.indexes.flatMap((index) => entries[index] ?? []);
        if ("refusal" in sent) await refuse(own, sent.refusal);
        else own.forEach((entry, position) => note(entry, sent.baseOffset + position));
      }
    }
  }

  function note({ caller, index }: Entry, offset: number): void {
    caller.offsets[index] = offset;
    caller.unwritten -= 1;
  }

  /** What is too large together with others' records is sent again in halves, until only who is too large alone is refused. */
  async function refuse(entries: readonly Entry[], refusal: LogRefusedError): Promise<void> {
    const callers = [...new Set(entries.map(({ caller }) => caller))];
    if (callers.length === 1 || !(refusal instanceof RecordsTooLargeError)) {
      for (const caller of callers) caller.refusal = refusal;
      return;
    }
    const half = new Set(callers.slice(0, Math.ceil(callers.length / 2)));
    await deliver(entries.filter(({ caller }) => half.has(caller)));
    await deliver(entries.filter(({ caller }) => !half.has(caller)));
  }
}
