/** The log port over a message port to the embedded log's thread. Any thread may have one. */

import type { MessagePort } from "node:worker_threads";
import {
  type ConsumeOptions,
  type Consumer,
  FencedError,
  type LatestValue,
  type Log,
  type LogGuarantees,
  type LogRecord,
  LogRefusedError,
  LogUnavailableError,
  type NewRecord,
  type Owner,
  type OwnOptions,
  RecordsGoneError,
  RecordsTooLargeError,
  type TailOptions,
} from "../../cqrs/log.ts";
import { recordBytes } from "../../cqrs/record-bytes.ts";
import { createPortClient, type PortClient } from "../../platform/port-rpc.ts";
import { type BrokerMethods, type LivePush, placeOf } from "./protocol.ts";

/** How long a read of a quiet partition waits in the broker before it asks again. */
const READ_WAIT_MS = 10_000;

/** Notifications that a slow listener may leave lying; beyond it the oldest are dropped, which "live" topics allow. */
const MAX_LIVE_BACKLOG_BYTES = 32 * 1024 * 1024;

/** What a record weighs in memory beside its contents. */
const RECORD_OVERHEAD = { perRecord: 200, perHeader: 50 } as const;

/** What may be on its way to the log's thread before callers are told to come back. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

type Client = PortClient<BrokerMethods, LivePush>;

export async function connectEmbeddedLog(port: MessagePort, { durable }: Pick<LogGuarantees, "durable">): Promise<Log> {
  const client: Client = createPortClient<BrokerMethods, LivePush>(port, {
    errors: { FencedError, LogUnavailableError, LogRefusedError, RecordsGoneError, RecordsTooLargeError, TypeError, RangeError },
    closedError: () => new LogUnavailableError("the embedded log is closed"),
  });
  const listeners = new Set<LiveTail>();
  let queuedBytes = 0;
  client.onPush(({ place, records }) => {
    for (const listener of listeners) if (listener.place === place) listener.push(records);
  });
  const { id, partitions, topicIds, liveTopics } = await client.call("describe", null);

  return {
    id,
    partitions,
    topicId(topic) {
      const topicId = topicIds[topic];
      if (topicId === undefined) throw new TypeError(`the log was opened without the topic ${topic}`);
      return topicId;
    },
    guarantees: { durable, gaplessOffsets: true },
    append,
    consume: (options) => join(client, options),
    own: (options) => own(client, options),
    tail,
    ends: (topic) => client.call("ends", topic),
    begins: (topic) => client.call("begins", topic),
    members: (group) => client.call("members", group),
    latest: (topic, partition, keys) =>
      keys === undefined ? latest(client, topic, partition) : latestOf(client, { topic, partition, keys }),
    committed: (group, topic) => client.call("committed", { group, topic }),
    async [Symbol.asyncDispose]() {
      for (const listener of listeners) listener.end();
      await client.call("release", null).catch(() => undefined);
      await client.close();
    },
  };

  async function append(records: readonly NewRecord[]): Promise<readonly number[]> {
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
    if (queuedBytes + bytes > MAX_QUEUED_BYTES) throw new LogUnavailableError("the embedded log takes records too slowly; try again");
    queuedBytes += bytes;
    try {
      return await client.call("append", records);
    } finally {
      queuedBytes -= bytes;
    }
  }

  async function tail(options: TailOptions): Promise<AsyncIterable<readonly LogRecord[]>> {
    const { topic, partition, from } = options;
    if (!liveTopics.includes(topic)) {
      const ends = await client.call("ends", topic);
      return follow(client, options, from === "end" ? (ends[partition] ?? 0) : from);
    }
    const listener = new LiveTail(placeOf(topic, partition), options.signal, () => listeners.delete(listener));
    listeners.add(listener);
    await client.call("listen", { topic, partition });
    return listener;
  }
}

async function* follow(client: Client, options: TailOptions, from: number): AsyncIterable<readonly LogRecord[]> {
  const { topic, partition, to = Number.POSITIVE_INFINITY, signal } = options;
  let next = from;
  while (!signal.aborted && next < to) {
    const records = await unlessAborted(client.call("read", { topic, partition, from: next, waitMs: READ_WAIT_MS }), signal);
    const last = records?.at(-1);
    if (records === undefined || last === undefined) continue;
    next = last.offset + 1;
    const wanted = next <= to ? records : records.filter(({ offset }) => offset < to);
    if (wanted.length > 0) yield wanted;
  }
}

async function* latestOf(client: Client, wanted: Parameters<BrokerMethods["load"]>[0]): AsyncIterable<readonly LatestValue[]> {
  const values = await client.call("load", wanted);
  yield wanted.keys.map((key, index) => ({ key, value: values[index] ?? null }));
}

async function* latest(client: Client, topic: string, partition: number): AsyncIterable<readonly LatestValue[]> {
  const scan = await client.call("scan", { topic, partition });
  try {
    for (;;) {
      const page = await client.call("scanned", scan);
      if (page.length === 0) return;
      yield page;
    }
  } finally {
    await client.call("endScan", scan);
  }
}

/** The call's answer, or undefined as soon as the signal aborts. A race with one promise for all calls would keep every answer until then. */
function unlessAborted<Answer>(call: Promise<Answer>, signal: AbortSignal): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(undefined);
    signal.addEventListener("abort", abort);
    call.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** The notifications of one partition of a "live" topic, as they come. */
class LiveTail implements AsyncIterable<readonly LogRecord[]> {
  readonly place: string;
  readonly #onEnd: () => void;
  #backlog: LogRecord[] = [];
  #backlogBytes = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(place: string, signal: AbortSignal, onEnd: () => void) {
    this.place = place;
    this.#onEnd = onEnd;
    if (signal.aborted) this.#ended = true;
    signal.addEventListener("abort", () => this.end());
  }

  push(records: readonly LogRecord[]): void {
    for (const record of records) {
      this.#backlog.push(record);
      this.#backlogBytes += recordBytes(record, RECORD_OVERHEAD);
    }
    let dropped = 0;
    for (const oldest of this.#backlog) {
      if (this.#backlogBytes <= MAX_LIVE_BACKLOG_BYTES) break;
      this.#backlogBytes -= recordBytes(oldest, RECORD_OVERHEAD);
      dropped += 1;
    }
    this.#backlog.splice(0, dropped);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#onEnd();
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<readonly LogRecord[]> {
    try {
      while (!this.#ended) {
        const records = this.#backlog;
        this.#backlog = [];
        this.#backlogBytes = 0;
        if (records.length > 0) yield records;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.#onEnd();
    }
  }
}

async function join(client: Client, options: ConsumeOptions): Promise<Consumer> {
  const { group, topic, instance } = options;
  const member = await client.call("join", { group, topic, instance });
  return consumer(client, member);
}

async function own(client: Client, options: OwnOptions): Promise<Owner> {
  const { group, topic, instance, stateTopic } = options;
  const member = await client.call("join", { group, topic, instance });
  return {
    ...consumer(client, member),
    writer: instance,
    load: (partition, keys) => client.call("load", { topic: stateTopic, partition, keys }),
    async transact({ records, consumed, ...fence }) {
      await client.call("transact", { member, records, consumed: [...consumed], ...fence });
    },
  };
}

function consumer(client: Client, member: number): Consumer {
  let seeks: [number, number][] = [];
  return {
    poll(options) {
      const positioned = seeks;
      seeks = [];
      return client.call("poll", { member, ...options, seeks: positioned });
    },
    reset: () => {
      seeks = [];
      client.call("reset", member).catch(() => undefined);
    },
    seek: (partition, offset) => {
      seeks.push([partition, offset]);
    },
    async [Symbol.asyncDispose]() {
      await client.call("leave", member).catch((error: unknown) => {
        if (!(error instanceof LogUnavailableError)) throw error;
      });
    },
  };
}
