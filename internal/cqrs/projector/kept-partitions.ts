/** The partitions that a projector has: where its generations of views stand in each, and what is read and written from there on (P6). */

import type { Clock } from "../clock.ts";
import type { Checkpoint, CheckpointWrite, Documents } from "../documents.ts";
import { type DeliveredEvent, delivered } from "../event/delivered-event.ts";
import { recordProof } from "../event/record-proof.ts";
import type { Consumer, Log, LogRecord } from "../log.ts";
import type { StreamPlace } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { timestampToMs } from "../time.ts";
import type { EventReader } from "../upcasting.ts";
import { createEventFolder, type DueEvents, type FoldedBatch } from "./event-folder.ts";
import { GapError, REBUILD } from "./gap.ts";
import { listParked, type ParkedKey } from "./parking.ts";
import { provePlace } from "./prove-place.ts";
import { noteRefusal } from "./refusals.ts";

/** What is kept, and from where. */
export interface PartitionsOptions {
  readonly log: Log;
  readonly documents: Documents;
  readonly clock: Clock;
  /** A name that no other projector has. */
  readonly instance: string;
  readonly events: Pick<EventReader, "read">;
  readonly topics: { readonly events: { readonly name: string } };
  readonly signal: AbortSignal;
  /** Told where the generations stand in partitions that got on. */
  readonly onApplied?: (places: readonly AppliedPlace[]) => void;
  /** Told which partitions it has. */
  readonly onPartitions?: (partitions: ReadonlySet<number>) => void;
}

/** How far a generation is complete in a partition. */
export interface AppliedPlace extends StreamPlace {
  readonly generation: Projection;
}

/** Where one generation stands in one partition. */
interface Place {
  nextOffset: number;
  sequence: number;
  eventTimeMs: number;
  proof: string;
}

/** An event at a new offset whose sequence has been applied already. */
interface Doubt {
  readonly offset: number;
  /** Where its generation stood before the batch. */
  readonly place: Place;
}

/** What is to be written. */
export interface PreparedBatch {
  readonly folded: FoldedBatch;
  readonly checkpoints: readonly CheckpointWrite[];
  readonly applied: readonly AppliedPlace[];
}

/** Each method but `prepare` is called when nothing is being written. */
export interface Partitions {
  takeOver(partition: number): Promise<void>;
  release(partition: number): void;
  /**
   * Folds records on top of what has been prepared before, which may be being written.
   *
   * @throws {GapError} the partition sequence has a gap
   * @throws {TooManyBytesError} nothing has happened; it has to be called with fewer records
   */
  prepare(records: readonly LogRecord[]): Promise<PreparedBatch>;
  /** Writes what was prepared, in the order in which it was. After a failure nothing of this may be used any more. */
  write(batch: PreparedBatch): Promise<void>;
  answerRequests(): Promise<void>;
}

/** Of no partition yet. */
export function createPartitions(options: PartitionsOptions, generations: readonly Projection[], consumer: Consumer): Partitions {
  const { log, documents, clock, instance, events, topics, onApplied, onPartitions, signal } = options;
  const stream = log.topicId(topics.events.name);
  const read = (record: LogRecord): DeliveredEvent => delivered(events, stream, record);
  const folder = createEventFolder({ documents, clock, instance });
  /** Per partition, the place of each generation, in their order, as far as has been prepared. */
  const places = new Map<number, readonly Place[]>();

  return {
    async takeOver(partition) {
      const found = await Promise.all(generations.map((generation) => documents.checkpoints(generation.collection.name)));
      const stored = found.map((checkpoints) => storedPlace(checkpoints, stream, partition));
      const taken = stored.map((place) => place ?? { nextOffset: 0, sequence: 0, eventTimeMs: 0, proof: "" });
      const distinct = new Map(taken.map((place) => [`${place.nextOffset}/${place.proof}`, place]));
      for (const place of distinct.values()) await prove(partition, place);
      await noteRefusal(documents, { stream, partition, isRefused: false, nowMs: clock.now() });
      const end = (await log.ends(topics.events.name))[partition] ?? 0;
      await folder.parkedKeys.takeOver(stream, partition);
      places.set(partition, taken);
      await documents.write(
        [],
        taken.map((place, index) => checkpointOf(index, partition, place, stored[index])),
      );
      consumer.seek(partition, taken.length === 0 ? end : Math.min(...taken.map((place) => place.nextOffset)));
      onPartitions?.(new Set(places.keys()));
      onApplied?.(appliedIn([partition, taken]));
    },
    release(partition) {
      places.delete(partition);
      folder.parkedKeys.release(stream, partition);
      // Another projector writes these documents from now on; a stale one would only cost a conflict, but would stay in memory.
      folder.clear();
      onPartitions?.(new Set(places.keys()));
    },
    async prepare(records) {
      const arrived = records.map(read);
      const after = new Map<number, Place[]>();
      const doubts = new Map<number, Doubt>();
      const due = generations.map((view, index): DueEvents => ({ view, events: dueEvents(arrived, index, after, doubts) }));
      for (const [partition, doubt] of doubts) await prove(partition, before(records, partition, doubt));
      for (const [partition, next] of after) proveLast(records, partition, next);
      const checkpoints = [...after].flatMap(([partition, next]) => {
        const standing = places.get(partition);
        return next.map((place, index) => checkpointOf(index, partition, place, standing?.[index]));
      });
      const folded = await folder.fold(due);
      for (const [partition, next] of after) places.set(partition, next);
      return { folded, checkpoints, applied: [...after].flatMap(appliedIn) };
    },
    async write({ folded, checkpoints, applied }) {
      await folder.write(folded, checkpoints);
      onApplied?.(applied);
    },
    async answerRequests() {
      const asked = (await listParked(documents)).filter(({ partition, request }) => request !== undefined && places.has(partition));
      for (const entry of asked) {
        const index = generations.findIndex(({ collection }) => collection.name === entry.collection);
        const generation = generations[index];
        const place = places.get(entry.partition)?.[index];
        if (generation === undefined || place === undefined) continue;
        const stretch = { topic: topics.events.name, partition: entry.partition, from: entry.event.offset, to: place.nextOffset, signal };
        const waiting: DeliveredEvent[] = [];
        let isFirst = true;
        for await (const records of await log.tail(stretch)) {
          if (isFirst) checkParkedEvent(entry, records[0]);
          isFirst = false;
          waiting.push(...records.map(read).filter(waitsIn(entry, generation)));
        }
        await folder.retry(generation, entry, waiting, checkpointOf(index, entry.partition, place, place));
      }
    },
  };

  async function prove(partition: number, { nextOffset, proof }: Pick<Place, "nextOffset" | "proof">): Promise<void> {
    try {
      await provePlace(log, { topic: topics.events.name, partition, nextOffset, proof });
    } catch (error) {
      if (error instanceof GapError) await noteRefusal(documents, { stream, partition, isRefused: true, nowMs: clock.now() });
      throw error;
    }
  }

  /** The place before the first event of a batch that seems to have come before. */
  function before(records: readonly LogRecord[], partition: number, { offset, place }: Doubt): Pick<Place, "nextOffset" | "proof"> {
    const last = records.findLast((record) => record.partition === partition && record.offset < offset);
    return last === undefined ? place : { nextOffset: last.offset + 1, proof: recordProof(last) };
  }

  /**
   * The events that a generation has not applied, in order; notes in `after` where it will be. An event may be in the log twice, or the log
   * may have lost its end and have other events under the same sequences now: that is noted as a doubt.
   */
  function dueEvents(
    arrived: readonly DeliveredEvent[],
    index: number,
    after: Map<number, Place[]>,
    doubts: Map<number, Doubt>,
  ): readonly DeliveredEvent[] {
    return arrived.filter((event) => {
      const { partition, offset, sequence } = event;
      const taken = places.get(partition);
      if (taken === undefined) throw new Error(`events of partition ${partition} came before it was taken over`);
      const next = after.get(partition) ?? taken.map((place) => ({ ...place }));
      after.set(partition, next);
      const place = next[index];
      if (place === undefined || offset < place.nextOffset) return false;
      if (sequence !== undefined && sequence > place.sequence + 1) {
        throw new GapError(
          `partition ${partition} goes from event ${place.sequence} to ${sequence} at offset ${offset}: events are missing. If the log was restored, ${REBUILD}`,
        );
      }
      place.nextOffset = offset + 1;
      if (sequence === undefined) return true;
      if (sequence <= place.sequence) {
        if (!doubts.has(partition)) doubts.set(partition, { offset, place: taken[index] ?? place });
        return false;
      }
      place.sequence = sequence;
      if ("metadata" in event && event.metadata.recordedAt !== undefined) place.eventTimeMs = timestampToMs(event.metadata.recordedAt);
      return true;
    });
  }

  /** The generations that got on have all come to the last record. */
  function proveLast(records: readonly LogRecord[], partition: number, next: readonly Place[]): void {
    const last = records.findLast((record) => record.partition === partition);
    if (last === undefined) return;
    const proof = recordProof(last);
    for (const place of next) if (place.nextOffset === last.offset + 1) place.proof = proof;
  }

  /** To be written after the place where the generation stood before, if there was one. */
  function checkpointOf(index: number, partition: number, place: Place, former: Place | undefined): CheckpointWrite {
    const expected = former === undefined ? {} : { expectedOffset: former.nextOffset };
    return { collection: generations[index]?.collection.name ?? "", stream, partition, ...place, ...expected };
  }

  function appliedIn([partition, standing]: readonly [number, readonly Place[]]): readonly AppliedPlace[] {
    return generations.map((generation, index) => ({ generation, stream, partition, sequence: standing[index]?.sequence ?? 0 }));
  }
}

/** @throws {GapError} the view follows another stream */
function storedPlace(checkpoints: readonly Checkpoint[], stream: string, partition: number): Place | undefined {
  const other = checkpoints.find((candidate) => candidate.stream !== stream);
  if (other !== undefined)
    throw new GapError(`the view ${other.collection} follows another stream of events (${other.stream}): ${REBUILD}`);
  const checkpoint = checkpoints.find((candidate) => candidate.partition === partition);
  if (checkpoint === undefined) return undefined;
  const { nextOffset, sequence, eventTimeMs, proof } = checkpoint;
  return { nextOffset, sequence, eventTimeMs, proof };
}

/** @throws {GapError} the event that was parked is not where it was */
function checkParkedEvent({ id, event }: ParkedKey, record: LogRecord | undefined): void {
  if (record?.offset === event.offset && record.timestampMs === event.recordedAtMs) return;
  throw new GapError(`at offset ${event.offset} is not the event any more that parked ${id}: ${REBUILD}`);
}

/** Whether an event may wait in an entry. */
function waitsIn({ scope, key }: ParkedKey, view: Projection): (event: DeliveredEvent) => boolean {
  return (event) => {
    if (scope !== "document") return event.aggregateId === key;
    try {
      return !("event" in event) || view.keys(event.event).includes(key);
    } catch {
      return true;
    }
  };
}
