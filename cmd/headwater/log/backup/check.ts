/** Whether the records of a log fit together, such that a command handler and projectors can go on from them. */

import { fromBinary } from "@bufbuild/protobuf";
import { pageKeysOf, pageOfKey } from "../../../../internal/cqrs/command/outcomes.ts";
import { IMPORT_KEY, POSITION_KEY } from "../../../../internal/cqrs/command/take-over.ts";
import { toldSequence } from "../../../../internal/cqrs/event/delivered-event.ts";
import { partitionOf } from "../../../../internal/cqrs/partition.ts";
import type { EventMetadata } from "../../../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import {
  AggregateSnapshotSchema,
  DeadLetterSchema,
  OutcomePageSchema,
  PartitionPositionSchema,
} from "../../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderEventSchema } from "../../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderTopics } from "../../domain.ts";
import { BackupError } from "./format.ts";

export interface CheckedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Where an order is by its events. */
interface Place {
  readonly version: number;
  readonly sequence: number;
}

/** Takes the events of a partition, in order, before its state. */
export class LogChecker {
  readonly #partitions: number;
  /** Of orders that have no state yet; undefined: an event of theirs cannot be read, so nothing is known. */
  readonly #places = new Map<string, Place | undefined>();
  /** By the events. */
  readonly #sequences: number[];
  /** By the positions. */
  readonly #positions = new Map<number, number>();
  /** The stream that the state counts. */
  #stream: string | undefined;
  /** Pages of outcomes that were found before what names them, or the other way round. */
  readonly #unmatchedPages = new Set<string>();
  /** Partitions that have state of orders. */
  readonly #withState = new Set<number>();

  constructor(partitions: number) {
    this.#partitions = partitions;
    this.#sequences = Array.from({ length: partitions }, () => 0);
  }

  /** The last sequence of a partition, by its events so far. */
  sequence(partition: number): number {
    return this.#sequences[partition] ?? 0;
  }

  /** @throws {BackupError} it does not fit what came before */
  add(record: CheckedRecord): void {
    const { topic, partition, key } = record;
    if (topic === orderTopics.deadLetters.name) {
      decoded(record, () => fromBinary(DeadLetterSchema, record.value));
      return;
    }
    if (topic === orderTopics.events.name) this.#addEvent(record);
    else if (key === POSITION_KEY) this.#addPosition(record);
    else if (key === IMPORT_KEY) throw new BackupError(`an import into partition ${partition} was not finished`);
    else if (pageOfKey(key) !== undefined) this.#addPage(record);
    else this.#addSnapshot(record);
  }

  /** @throws {BackupError} something is missing */
  end(): void {
    const [missing] = this.#places.keys();
    if (missing !== undefined) throw new BackupError(`the order ${missing} has events and no state`);
    const [page] = this.#unmatchedPages;
    if (page !== undefined) throw new BackupError(`the outcomes of an order do not fit its state: ${page}`);
    this.#sequences.forEach((sequence, partition) => {
      const position = this.#positions.get(partition);
      if (position === undefined && sequence === 0 && !this.#withState.has(partition)) return;
      if (position !== sequence)
        throw new BackupError(`partition ${partition} has ${sequence} events, and its position says ${position ?? "nothing"}`);
    });
  }

  #addEvent(record: CheckedRecord): void {
    const { partition, key } = record;
    const metadata = metadataOf(record.value);
    const sequence = metadata === undefined ? toldSequence(record) : Number(metadata.sequence);
    // No event of ours, and nothing that a sequence would have to account for.
    if (sequence === undefined) return;
    const last = this.sequence(partition);
    if (sequence !== last + 1) throw new BackupError(`partition ${partition} goes from event ${last} to ${sequence}`);
    this.#sequences[partition] = sequence;
    this.#checkPartition(record, key);
    const before = this.#places.has(key) ? this.#places.get(key) : { version: 0, sequence: 0 };
    if (metadata === undefined || before === undefined) this.#places.set(key, undefined);
    else if (metadata.version !== before.version + 1)
      throw new BackupError(`the order ${key} goes from version ${before.version} to ${metadata.version}`);
    else this.#places.set(key, { version: metadata.version, sequence });
  }

  #addSnapshot(record: CheckedRecord): void {
    const { key, value, partition } = record;
    this.#checkPartition(record, key);
    this.#withState.add(partition);
    const snapshot = decoded(record, () => fromBinary(AggregateSnapshotSchema, value));
    if (snapshot.aggregateId !== key) throw new BackupError(`the state of ${key} is that of ${snapshot.aggregateId}`);
    pageKeysOf(snapshot).forEach((page) => this.#matchPage(page));
    this.#stream ??= snapshot.stream;
    if (snapshot.stream !== this.#stream) throw new BackupError(`the state of ${key} counts another stream of events than that before it`);
    const isKnown = this.#places.has(key);
    const place = isKnown ? this.#places.get(key) : { version: 0, sequence: 0 };
    this.#places.delete(key);
    // Nothing is known of it.
    if (place === undefined) return;
    if (snapshot.version !== place.version || Number(snapshot.sequence) !== place.sequence)
      throw new BackupError(`the state of ${key} is at version ${snapshot.version}, its last event at ${place.version}`);
  }

  #addPage(record: CheckedRecord): void {
    const { aggregateId } = decoded(record, () => fromBinary(OutcomePageSchema, record.value));
    if (aggregateId !== pageOfKey(record.key)?.aggregateId)
      throw new BackupError(`the outcomes in ${record.key} are those of ${aggregateId}`);
    this.#checkPartition(record, aggregateId);
    this.#matchPage(record.key);
  }

  /** A page comes twice: as a record, and named by a snapshot. */
  #matchPage(page: string): void {
    if (!this.#unmatchedPages.delete(page)) this.#unmatchedPages.add(page);
  }

  #addPosition(record: CheckedRecord): void {
    const { sequence } = decoded(record, () => fromBinary(PartitionPositionSchema, record.value));
    this.#positions.set(record.partition, Number(sequence));
  }

  #checkPartition({ key, partition, topic }: CheckedRecord, aggregateId: string): void {
    const right = partitionOf(aggregateId, this.#partitions);
    if (right !== partition) throw new BackupError(`a record of ${topic} with the key ${key} is in partition ${partition}, not ${right}`);
  }
}

function metadataOf(value: Uint8Array): EventMetadata | undefined {
  try {
    return fromBinary(OrderEventSchema, value).metadata;
  } catch {
    return undefined;
  }
}

function decoded<Message>({ topic, key }: CheckedRecord, decode: () => Message): Message {
  try {
    return decode();
  } catch (error) {
    throw new BackupError(`a record of ${topic} with the key ${key} cannot be read: ${String(error)}`, { cause: error });
  }
}
