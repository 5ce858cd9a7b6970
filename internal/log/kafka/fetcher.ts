/**
 * Reads chosen partitions of a topic from chosen offsets, read-committed. kafkajs can only read as a member of a group, with offsets that it
 * resets by itself where records are missing; this reads where it is told, and fails where records are missing.
 */

import { LogUnavailableError } from "../../cqrs/log.ts";
import { committedMessages } from "./committed.ts";
import type { Cluster, FetchedMessage, FetchedPartition } from "./kafkajs.ts";
import { type KafkaRecord, recordFromMessage } from "./record.ts";

/** A long poll: how long a broker holds a fetch that finds nothing. */
const MAX_WAIT_MS = 500;
const MAX_FETCH_BYTES = 16 * 1024 * 1024;
const MAX_PARTITION_BYTES = 2 * 1024 * 1024;

/** Records that may lie here before the next fetch is sent. */
const MAX_BUFFERED_RECORDS = 5_000;

/** How long leaders may be away before it is an outage and not an election. */
const OUTAGE_AFTER_MS = 30_000;
const RETRY_MS = 100;

const READ_COMMITTED = 1;
const OLDEST = -2;
const NEWEST = -1;

/** The records at the wanted offset are gone: deleted by retention or by hand. To go on behind them would be a silent gap. */
export class OffsetOutOfRangeError extends Error {
  override readonly name = "OffsetOutOfRangeError";
}

interface Place {
  offset: number;
  /** Counts the seeks: what was fetched before the last one is thrown away. */
  epoch: number;
  fetching: boolean;
  /** The last fetch brought nothing although there is more: it is asked for alone, and then stepped over. */
  blocked: boolean;
}

export class Fetcher {
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #places = new Map<number, Place>();
  readonly #stableOffsets = new Map<number, number>();
  #buffer: KafkaRecord[] = [];
  #changed = Promise.withResolvers<void>();
  #failure: Error | undefined;
  #troubleSinceMs: number | undefined;
  #epochs = 0;
  #closed = false;

  /** The cluster's connections are this fetcher's own; it closes them. */
  constructor(cluster: Cluster, topic: string) {
    this.#cluster = cluster;
    this.#topic = topic;
  }

  async open(): Promise<void> {
    await this.#cluster.connect();
    await this.#cluster.addMultipleTargetTopics([this.#topic]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#places.clear();
    this.#changed.resolve();
    await this.#cluster.disconnect();
  }

  /** Reads a partition from an offset on. */
  seek(partition: number, offset: number): void {
    this.#buffer = this.#buffer.filter((record) => record.partition !== partition);
    this.#places.set(partition, { offset, epoch: ++this.#epochs, fetching: this.#places.get(partition)?.fetching ?? false, blocked: false });
    this.#dispatch();
  }

  /** Stops reading a partition. */
  drop(partition: number): void {
    this.#buffer = this.#buffer.filter((record) => record.partition !== partition);
    this.#places.delete(partition);
  }

  /** The offset up to which a partition has been read and everything before is decided. */
  position(partition: number): number | undefined {
    return this.#places.get(partition)?.offset;
  }

  /** Resolves when there may be something new. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /**
   * The records that have arrived, at most so many.
   *
   * @throws {OffsetOutOfRangeError | LogUnavailableError}
   */
  take(maxRecords: number): KafkaRecord[] {
    if (this.#failure !== undefined) throw this.#failure;
    const records = this.#buffer.length <= maxRecords ? this.#buffer : this.#buffer.slice(0, maxRecords);
    this.#buffer = this.#buffer.slice(records.length);
    this.#changed = Promise.withResolvers();
    if (this.#buffer.length > 0) this.#changed.resolve();
    this.#dispatch();
    return records;
  }

  /** The offset behind the last record of each partition, whether or not its transaction is decided. */
  async ends(partitions: readonly number[]): Promise<Map<number, number>> {
    return this.#offsets(partitions, NEWEST);
  }

  /** The offset of the first record of each partition that is still there. */
  async beginnings(partitions: readonly number[]): Promise<Map<number, number>> {
    return this.#offsets(partitions, OLDEST);
  }

  async #offsets(partitions: readonly number[], timestamp: number): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    const sinceMs = Date.now();
    while (found.size < partitions.length) {
      try {
        await this.#cluster.refreshMetadataIfNecessary();
        for (const [nodeId, led] of Object.entries(this.#cluster.findLeaderForPartitions(this.#topic, partitions))) {
          const broker = await this.#cluster.findBroker({ nodeId });
          const topics = [{ topic: this.#topic, partitions: led.map((partition) => ({ partition, timestamp })) }];
          const { responses } = await broker.listOffsets({ replicaId: -1, isolationLevel: 0, topics });
          for (const { partition, offset } of responses.flatMap((response) => response.partitions)) found.set(partition, Number(offset));
        }
      } catch (error) {
        if (Date.now() - sinceMs > OUTAGE_AFTER_MS || this.#closed) throw unavailable(error);
        await this.#recover();
      }
    }
    return found;
  }

  /** Sends a fetch to each leader of partitions that none is under way for. */
  #dispatch(): void {
    if (this.#closed || this.#failure !== undefined || this.#buffer.length > MAX_BUFFERED_RECORDS) return;
    const idle = [...this.#places].filter(([, place]) => !place.fetching).map(([partition]) => partition);
    if (idle.length === 0) return;
    let leaders: Readonly<Record<string, readonly number[]>>;
    try {
      leaders = this.#cluster.findLeaderForPartitions(this.#topic, idle);
    } catch (error) {
      this.#run(idle, () => Promise.reject(error instanceof Error ? error : new Error(String(error))));
      return;
    }
    const led = Object.values(leaders).flat();
    for (const [nodeId, partitions] of Object.entries(leaders)) {
      const blocked = partitions.filter((partition) => this.#places.get(partition)?.blocked);
      if (blocked.length === 0) this.#run(partitions, () => this.#fetch(nodeId, partitions));
      else for (const partition of blocked.slice(0, 1)) this.#run([partition], () => this.#fetch(nodeId, [partition]));
    }
    const unled = idle.filter((partition) => !led.includes(partition));
    if (unled.length > 0) this.#run(unled, () => Promise.reject(new Error(`partition ${unled.join()} of ${this.#topic} has no leader`)));
  }

  #run(partitions: readonly number[], fetch: () => Promise<void>): void {
    const places = partitions.map((partition) => this.#places.get(partition)).filter((place) => place !== undefined);
    for (const place of places) place.fetching = true;
    const done = (): void => {
      for (const partition of partitions) {
        const place = this.#places.get(partition);
        if (place !== undefined) place.fetching = false;
      }
    };
    void fetch().then(
      () => {
        this.#troubleSinceMs = undefined;
        done();
        if (this.#buffer.length > 0) this.#changed.resolve();
        this.#dispatch();
      },
      async (error: unknown) => {
        await this.#trouble(error);
        done();
        this.#dispatch();
      },
    );
  }

  async #fetch(nodeId: string, partitions: readonly number[]): Promise<void> {
    const wanted = partitions.flatMap((partition) => {
      const place = this.#places.get(partition);
      return place === undefined ? [] : [{ partition, offset: place.offset, epoch: place.epoch }];
    });
    if (wanted.length === 0) return;
    const broker = await this.#cluster.findBroker({ nodeId });
    const { responses } = await broker.fetch({
      maxWaitTime: MAX_WAIT_MS,
      minBytes: 1,
      maxBytes: MAX_FETCH_BYTES,
      isolationLevel: READ_COMMITTED,
      topics: [
        {
          topic: this.#topic,
          partitions: wanted.map(({ partition, offset }) => ({ partition, fetchOffset: String(offset), maxBytes: MAX_PARTITION_BYTES })),
        },
      ],
    });
    for (const fetched of responses.flatMap((response) => response.partitions)) {
      const asked = wanted.find(({ partition }) => partition === fetched.partition);
      const place = this.#places.get(fetched.partition);
      if (asked !== undefined && place?.epoch === asked.epoch) this.#accept(place, fetched, wanted.length === 1);
    }
  }

  #accept(place: Place, fetched: FetchedPartition, alone: boolean): void {
    const { partition } = fetched;
    const stableOffset = Number(fetched.lastStableOffset);
    this.#stableOffsets.set(partition, stableOffset);
    const last = fetched.messages.at(-1);
    if (last === undefined) {
      // A batch that compaction has emptied holds the place without a record. Only a fetch of this partition alone proves it.
      if (place.offset < stableOffset && place.blocked && alone) place.offset += 1;
      else place.blocked = place.offset < stableOffset;
      this.#changed.resolve();
      return;
    }
    place.blocked = false;
    const fresh = (message: FetchedMessage): boolean => Number(message.offset) >= place.offset;
    const records = committedMessages(fetched).filter(fresh);
    this.#buffer.push(...records.map((message) => recordFromMessage(message, partition, this.#topic)));
    place.offset = Number(last.offset) + 1;
    this.#changed.resolve();
  }

  async #trouble(error: unknown): Promise<void> {
    if (this.#closed) return;
    if (typeOf(error) === "OFFSET_OUT_OF_RANGE") {
      this.#fail(new OffsetOutOfRangeError(`records of ${this.#topic} that were to be read next are gone; retention must not delete them`));
      return;
    }
    if (error instanceof Error && error.name === "CorruptRecordError") {
      this.#fail(error);
      return;
    }
    this.#troubleSinceMs ??= Date.now();
    if (Date.now() - this.#troubleSinceMs > OUTAGE_AFTER_MS) this.#fail(unavailable(error));
    else await this.#recover();
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#changed.resolve();
  }

  async #recover(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    if (!this.#closed) await this.#cluster.refreshMetadata().catch(() => undefined);
  }
}

export function unavailable(error: unknown): LogUnavailableError {
  return new LogUnavailableError(`Kafka does not answer: ${error instanceof Error ? error.message : String(error)}`);
}

/** The name of a broker's error code. */
export function typeOf(error: unknown): string | undefined {
  return error instanceof Error && "type" in error && typeof error.type === "string" ? error.type : undefined;
}
