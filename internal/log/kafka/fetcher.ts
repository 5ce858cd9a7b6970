/**
 * Reads chosen partitions of a topic from chosen offsets, read-committed. kafkajs can only read as a member of a group, with offsets that it
 * resets by itself where records are missing; this reads where it is told, and fails where records are missing.
 */

import { committedMessages } from "./committed.ts";
import { typeOf, unavailable } from "./errors.ts";
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
  /** The last fetch brought nothing although there is more: it is asked for alone, and then stepped over. */
  blocked: boolean;
}

export class Fetcher implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #places = new Map<number, Place>();
  /** What has arrived, per partition; the one whose turn is next comes first. */
  readonly #arrived = new Map<number, KafkaRecord[]>();
  #buffered = 0;
  /** The leaders that a fetch is under way to. A second one would wait behind the first's long poll. */
  readonly #busy = new Set<string>();
  #scheduled = false;
  #changed = Promise.withResolvers<void>();
  #failure: Error | undefined;
  /** Since when a leader does not answer; "" stands for partitions without one. */
  readonly #troubleSinceMs = new Map<string, number>();
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
    if (this.#closed) return;
    this.#closed = true;
    this.#places.clear();
    this.#changed.resolve();
    await this.#cluster.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Reads a partition from an offset on. */
  seek(partition: number, offset: number): void {
    this.drop(partition);
    this.#places.set(partition, { offset, epoch: ++this.#epochs, blocked: false });
    this.#schedule();
  }

  /** Stops reading a partition. */
  drop(partition: number): void {
    this.#buffered -= this.#arrived.get(partition)?.length ?? 0;
    this.#arrived.delete(partition);
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
   * The records that have arrived, at most so many, and of each partition its share.
   *
   * @throws {OffsetOutOfRangeError | LogUnavailableError}
   */
  take(maxRecords: number): KafkaRecord[] {
    if (this.#failure !== undefined) throw this.#failure;
    const records: KafkaRecord[] = [];
    while (records.length < maxRecords && this.#arrived.size > 0) {
      const share = Math.ceil((maxRecords - records.length) / this.#arrived.size);
      for (const [partition, arrived] of [...this.#arrived].slice(0, maxRecords - records.length)) {
        records.push(...arrived.splice(0, Math.min(share, maxRecords - records.length)));
        this.#arrived.delete(partition);
        if (arrived.length > 0) this.#arrived.set(partition, arrived);
      }
    }
    this.#buffered -= records.length;
    this.#changed = Promise.withResolvers();
    if (this.#buffered > 0) this.#changed.resolve();
    this.#schedule();
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

  /** Partitions that are sought one after the other share a fetch. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  /** Sends a fetch to each leader that none is under way to. */
  #dispatch(): void {
    if (this.#closed || this.#failure !== undefined || this.#buffered > MAX_BUFFERED_RECORDS || this.#places.size === 0) return;
    let leaders: Readonly<Record<string, readonly number[]>>;
    try {
      leaders = this.#cluster.findLeaderForPartitions(this.#topic, [...this.#places.keys()]);
    } catch (error) {
      this.#run("", () => Promise.reject(error instanceof Error ? error : new Error(String(error))));
      return;
    }
    for (const [nodeId, partitions] of Object.entries(leaders)) {
      const blocked = partitions.find((partition) => this.#places.get(partition)?.blocked);
      this.#run(nodeId, () => this.#fetch(nodeId, blocked === undefined ? partitions : [blocked]));
    }
    const led = new Set(Object.values(leaders).flat());
    const unled = [...this.#places.keys()].filter((partition) => !led.has(partition));
    if (unled.length === 0) this.#troubleSinceMs.delete("");
    else this.#run("", () => Promise.reject(new Error(`partition ${unled.join()} of ${this.#topic} has no leader`)));
  }

  #run(nodeId: string, fetch: () => Promise<void>): void {
    if (this.#busy.has(nodeId)) return;
    this.#busy.add(nodeId);
    const fetched = fetch().then(
      () => {
        this.#troubleSinceMs.delete(nodeId);
      },
      (error: unknown) => this.#trouble(nodeId, error),
    );
    void fetched.then(() => {
      this.#busy.delete(nodeId);
      this.#schedule();
    });
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
    if (records.length > 0) {
      const arrived = this.#arrived.get(partition) ?? [];
      for (const message of records) arrived.push(recordFromMessage(message, partition, this.#topic));
      this.#arrived.set(partition, arrived);
      this.#buffered += records.length;
    }
    place.offset = Number(last.offset) + 1;
    this.#changed.resolve();
  }

  async #trouble(nodeId: string, error: unknown): Promise<void> {
    if (this.#closed) return;
    if (typeOf(error) === "OFFSET_OUT_OF_RANGE") {
      this.#fail(new OffsetOutOfRangeError(`records of ${this.#topic} that were to be read next are gone; retention must not delete them`));
      return;
    }
    if (error instanceof Error && error.name === "CorruptRecordError") {
      this.#fail(error);
      return;
    }
    const sinceMs = this.#troubleSinceMs.get(nodeId) ?? Date.now();
    this.#troubleSinceMs.set(nodeId, sinceMs);
    if (Date.now() - sinceMs > OUTAGE_AFTER_MS) this.#fail(unavailable(error));
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
