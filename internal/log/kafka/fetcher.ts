/**
 * Reads chosen partitions of a topic from chosen offsets, read-committed. kafkajs can only read as a member of a group, with offsets that it
 * resets by itself where records are missing; this reads where it is told, and fails where records are missing.
 */

import { LogRefusedError, RecordsGoneError } from "../../cqrs/log.ts";
import { committedBatches } from "./committed.ts";
import { inTermsOfThePort, typeOf, unavailable } from "./errors.ts";
import { type FetchedPartition, fetchBytes } from "./fetch-request.ts";
import { type Fetched, FetchedRecords, type Limits } from "./fetched-records.ts";
import type { Cluster } from "./kafkajs.ts";
import { batchesIn, CorruptRecordError, type KafkaRecord, type PartitionName, RecordReader } from "./record-batch.ts";

/** A long poll: how long a broker holds a fetch that finds nothing. */
const MAX_WAIT_MS = 500;
const MAX_PARTITION_BYTES = 2 * 1024 * 1024;

/**
 * What may lie here before the next fetch is sent: enough to decode while the next fetch is under way. The fetches to all leaders together
 * bring at most as much again, but for the first batch of each answer, which a broker sends whole.
 */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

/** What a fetch asks for at most, and at least, however many leaders there are. */
const MAX_FETCH_BYTES = 8 * 1024 * 1024;
const MIN_FETCH_BYTES = 512 * 1024;

/** How long leaders may be away before it is an outage and not an election. */
const OUTAGE_AFTER_MS = 30_000;
const RETRY_MS = 100;

const OLDEST = -2;
const NEWEST = -1;

interface Place {
  offset: number;
  /** Counts the seeks: what was fetched before the last one is thrown away. */
  readonly epoch: number;
}

/** What is asked of a leader. */
interface WantedFetch {
  readonly nodeId: string;
  readonly partitions: readonly number[];
  readonly maxBytes: number;
}

export class Fetcher implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #places = new Map<number, Place>();
  readonly #records = new FetchedRecords();
  /** The leaders that a fetch is under way to. A second one would wait behind the first's long poll. */
  readonly #busy = new Set<string>();
  #scheduled = false;
  #changed = Promise.withResolvers<void>();
  #failure: Error | undefined;
  /** Since when a leader does not answer; "" stands for partitions without one. */
  readonly #troubleSinceMs = new Map<string, number>();
  #epochs = 0;
  #turns = 0;
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
    this.#places.set(partition, { offset, epoch: ++this.#epochs });
    this.#schedule();
  }

  /** Stops reading a partition. */
  drop(partition: number): void {
    this.#records.drop(partition);
    this.#places.delete(partition);
  }

  /** The offset up to which a partition has been read and everything before is decided. */
  position(partition: number): number | undefined {
    return this.#places.get(partition)?.offset;
  }

  /** Resolves when there may be something new since the last `take`. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /**
   * Has whoever waits for a change look again. To race `changed` with what hardly ever happens would leave something behind each time, until
   * that happens.
   */
  wake(): void {
    this.#changed.resolve();
  }

  /**
   * The records that have arrived, within limits, and of each partition its share.
   *
   * @throws {RecordsGoneError | LogRefusedError | LogUnavailableError}
   */
  take(limits: Limits): KafkaRecord[] {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#records.take(limits);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      this.#changed = Promise.withResolvers();
      if (this.#failure !== undefined || !this.#records.isEmpty) this.#changed.resolve();
      this.#schedule();
    }
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
    if (this.#closed || this.#failure !== undefined || this.#records.bytes > MAX_BUFFERED_BYTES || this.#places.size === 0) return;
    let leaders: Readonly<Record<string, readonly number[]>>;
    try {
      leaders = this.#cluster.findLeaderForPartitions(this.#topic, [...this.#places.keys()]);
    } catch (error) {
      this.#run("", () => Promise.reject(error instanceof Error ? error : new Error(String(error))));
      return;
    }
    const share = Math.floor(MAX_BUFFERED_BYTES / Object.keys(leaders).length);
    const maxBytes = Math.max(MIN_FETCH_BYTES, Math.min(MAX_FETCH_BYTES, share));
    for (const [nodeId, partitions] of Object.entries(leaders)) {
      this.#run(nodeId, () => this.#fetch({ nodeId, partitions, maxBytes }));
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

  async #fetch({ nodeId, partitions, maxBytes }: WantedFetch): Promise<void> {
    // A broker serves the first partitions first, and may have no room for the last: each has its turn to be first.
    this.#turns += 1;
    const first = this.#turns % partitions.length;
    const wanted = [...partitions.slice(first), ...partitions.slice(0, first)].flatMap((partition) => {
      const place = this.#places.get(partition);
      return place === undefined ? [] : [{ partition, place, offset: place.offset }];
    });
    if (wanted.length === 0) return;
    const found = await fetchBytes(await this.#cluster.findBroker({ nodeId }), {
      topic: this.#topic,
      offsets: new Map(wanted.map(({ partition, offset }) => [partition, offset])),
      maxWaitMs: MAX_WAIT_MS,
      maxBytes,
      maxPartitionBytes: MAX_PARTITION_BYTES,
    });
    const fetched: Fetched = { bytes: found.reduce((sum, { bytes }) => sum + bytes.length, 0), parts: 0 };
    // A broker may cut off any batch but the first of its answer.
    const head = found.find(({ bytes }) => bytes.length > 0);
    for (const each of found) {
      const place = this.#places.get(each.partition);
      if (place !== undefined && wanted.some((asked) => asked.place === place))
        this.#accept(place, each, { isHead: each === head, fetched });
    }
  }

  #accept(
    place: Place,
    { partition, bytes, abortedTransactions }: FetchedPartition,
    of: { readonly isHead: boolean; readonly fetched: Fetched },
  ): void {
    const batches = [...batchesIn(bytes, { topic: this.#topic, partition })];
    const last = batches.at(-1);
    if (of.isHead && last === undefined) {
      throw new CorruptRecordError(`the batch for offset ${place.offset} of partition ${partition} of ${this.#topic} has no end`);
    }
    if (last !== undefined) {
      const fresh = [...committedBatches(batches, abortedTransactions)].filter(({ lastOffset }) => lastOffset >= place.offset);
      const records = new RecordReader(fresh, { topic: this.#topic, partition }, place.offset);
      if (fresh.length > 0) this.#records.add(partition, { records, fetched: of.fetched });
      // Compaction may have left a batch without a record, or holes before and behind those that are left.
      place.offset = last.lastOffset + 1;
    }
    this.#changed.resolve();
  }

  async #trouble(nodeId: string, error: unknown): Promise<void> {
    if (this.#closed) return;
    const fault = typeOf(error) === "OFFSET_OUT_OF_RANGE" ? await this.#gone() : error;
    if (fault instanceof CorruptRecordError || fault instanceof RecordsGoneError) {
      this.#fail(fault);
      return;
    }
    const known = inTermsOfThePort(fault, { topic: this.#topic });
    if (known instanceof LogRefusedError) {
      this.#fail(known);
      return;
    }
    const sinceMs = this.#troubleSinceMs.get(nodeId) ?? Date.now();
    this.#troubleSinceMs.set(nodeId, sinceMs);
    if (Date.now() - sinceMs > OUTAGE_AFTER_MS) this.#fail(unavailable(error));
    else await this.#recover();
  }

  /** Which records are gone; undefined: none, so the one that said so may have been no leader any more. */
  async #gone(): Promise<RecordsGoneError | undefined> {
    const partitions = [...this.#places.keys()];
    const [begins, ends] = await Promise.all([this.beginnings(partitions), this.ends(partitions)]).catch(() => []);
    for (const [partition, { offset }] of this.#places) {
      const [begin = offset, end = offset] = [begins?.get(partition), ends?.get(partition)];
      if (offset < begin || offset > end) return new RecordsGoneError(goneText({ topic: this.#topic, partition }, offset, begin, end));
    }
    return undefined;
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

function goneText({ topic, partition }: PartitionName, offset: number, begin: number, end: number): string {
  const there = offset < begin ? `begins at ${begin}: what lay between was deleted` : `ends at ${end}: it lost its end`;
  return `the record at ${offset} was to be read next, and partition ${partition} of ${topic} ${there}`;
}
