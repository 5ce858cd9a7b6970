/**
 * Keeps generations of views up to date: folds the events of the partitions it is given, a batch at a time, then writes the checkpoints (P6).
 * Which generations these are may change while it runs.
 */

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bell, createBell } from "./bell.ts";
import type { Clock } from "./clock.ts";
import { type DeliveredEvent, delivered } from "./delivered-event.ts";
import type { Checkpoint, Documents } from "./documents.ts";
import { createEventFolder, type DueEvents } from "./event-folder.ts";
import type { Consumer, Log, LogRecord, Poll } from "./log.ts";
import { listParked, type ParkedKey } from "./parking.ts";
import type { Projection } from "./projection.ts";
import { untilAborted } from "./until-aborted.ts";
import type { EventReader } from "./upcasting.ts";

/** How many events one batch takes at most: enough to write each busy document once for many events. */
const BATCH_EVENTS = 1_000;

const POLL_WAIT_MS = 5_000;

/** The log does not continue where the views are: events are missing, and to go on would corrupt every view. */
export class GapError extends Error {
  override readonly name = "GapError";
}

/** What is kept, and from where. */
export interface KeepOptions {
  readonly log: Log;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly events: Pick<EventReader, "read">;
  readonly topics: { readonly events: { readonly name: string } };
  readonly group: string;
  readonly instance: string;
  readonly signal: AbortSignal;
  /** How many events one batch takes at most. Default 1,000. */
  readonly batchEvents?: number;
  /** The generations to keep. Asked again when `changes` has rung. */
  readonly generations: () => readonly Projection[];
  /** Rings when the generations may have changed. */
  readonly changes?: Bell;
  /** Told when those of before are not kept any more. */
  readonly onChanged?: () => void;
  /** Rings when somebody has asked for something of a parked key. */
  readonly requests?: Bell;
  /** Told every few seconds at least while it gets on. */
  readonly onProgress?: () => void;
  /** Told where the generations stand in partitions that got on. */
  readonly onApplied?: (places: readonly AppliedPlace[]) => void;
  /** Awaited between batches, with the milliseconds that the last one took. */
  readonly rest?: (workedMs: number) => Promise<void>;
  /** Told which partitions it has. */
  readonly onPartitions?: (partitions: ReadonlySet<number>) => void;
}

/** How far a generation is complete in a partition. */
export interface AppliedPlace {
  readonly generation: Projection;
  readonly partition: number;
  readonly sequence: number;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {GapError} the partition sequence has a gap
 * @throws {FencedError} another has joined under this instance's name: this one must end
 * @throws {LogUnavailableError | DocumentsUnavailableError} start again when they are back
 */
export async function keepGenerations(options: KeepOptions): Promise<void> {
  const { log, group, instance, topics, signal, onProgress, changes = createBell(), requests = createBell(), clock } = options;
  await using consumer = await log.consume({ group, instance, topic: topics.events.name });
  let partitions = createPartitions(options, consumer);
  let polling: Promise<Poll> | undefined;
  let changing = changes.rung(signal).then(() => "changed" as const);
  let asking = requests.rung(signal).then(() => "asked" as const);
  while (!signal.aborted) {
    polling ??= consumer.poll({ maxRecords: options.batchEvents ?? BATCH_EVENTS, waitMs: POLL_WAIT_MS });
    const event = await untilAborted(Promise.race([polling, changing, asking]), signal);
    if (event === undefined) return;
    if (event === "changed") {
      changing = changes.rung(signal).then(() => "changed" as const);
      partitions = createPartitions(options, consumer);
      consumer.reset();
      // A poll that is under way may have its records from before.
      polling = polling.then((poll) => ({ ...poll, records: [] }));
      options.onChanged?.();
    } else if (event === "asked") {
      asking = requests.rung(signal).then(() => "asked" as const);
      await partitions.answerRequests();
    } else {
      polling = undefined;
      if (event.generation > 0) onProgress?.();
      for (const partition of event.lost) partitions.release(partition);
      for (const partition of event.gained) await partitions.takeOver(partition);
      if (event.gained.length > 0) await partitions.answerRequests();
      const startedAtMs = clock.now();
      if (event.records.length > 0) await partitions.apply(event.records);
      await options.rest?.(clock.now() - startedAtMs);
    }
  }
}

/** Where one generation stands in one partition. */
interface Place {
  nextOffset: number;
  sequence: number;
  eventTimeMs: number;
}

interface Partitions {
  takeOver(partition: number): Promise<void>;
  release(partition: number): void;
  apply(records: readonly LogRecord[]): Promise<void>;
  answerRequests(): Promise<void>;
}

function createPartitions(options: KeepOptions, consumer: Consumer): Partitions {
  const { log, documents, clock, events, topics, onApplied, onPartitions, signal } = options;
  const generations = options.generations();
  const read = (record: LogRecord): DeliveredEvent => delivered(events, record);
  const folder = createEventFolder({ documents, now: () => clock.now() });
  /** Per partition, the place of each generation, in their order. */
  const places = new Map<number, readonly Place[]>();

  return {
    async takeOver(partition) {
      const found = await Promise.all(generations.map((generation) => documents.checkpoints(generation.collection.name)));
      const taken = found.map((checkpoints) => placeOf(checkpoints, partition, log.id));
      const end = (await log.ends(topics.events.name))[partition] ?? 0;
      if (taken.some((place) => place.nextOffset > end)) {
        throw new GapError(
          `partition ${partition} ends at offset ${end}, before what the views have applied: the log is older than the documents`,
        );
      }
      await folder.parkedKeys.takeOver(partition);
      places.set(partition, taken);
      // Even before the first event, the query side learns from the checkpoints which log the views follow.
      await documents.write(
        [],
        taken.map((place, index) => checkpointOf(index, partition, place)),
      );
      consumer.seek(partition, taken.length === 0 ? end : Math.min(...taken.map((place) => place.nextOffset)));
      onPartitions?.(new Set(places.keys()));
      tell([partition]);
    },
    release(partition) {
      places.delete(partition);
      folder.parkedKeys.release(partition);
      // Another projector writes these documents from now on; a stale one would only cost a conflict, but would stay in memory.
      folder.clear();
      onPartitions?.(new Set(places.keys()));
    },
    async apply(records) {
      const arrived = records.map(read);
      const after = new Map<number, Place[]>();
      const due = generations.map((view, index): DueEvents => ({ view, events: dueEvents(arrived, index, after) }));
      const checkpoints = [...after].flatMap(([partition, next]) => next.map((place, index) => checkpointOf(index, partition, place)));
      await folder.apply(due, checkpoints);
      for (const [partition, next] of after) places.set(partition, next);
      tell([...after.keys()]);
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
        for await (const records of await log.tail(stretch)) waiting.push(...records.map(read).filter(waitsIn(entry, generation)));
        await folder.retry(generation, entry, waiting);
      }
    },
  };

  /** The events that a generation has not applied, in order; notes in `after` where it will be. */
  function dueEvents(arrived: readonly DeliveredEvent[], index: number, after: Map<number, Place[]>): readonly DeliveredEvent[] {
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
          `partition ${partition} goes from event ${place.sequence} to ${sequence} at offset ${offset}: events are missing`,
        );
      }
      place.nextOffset = offset + 1;
      if (sequence === undefined) return true;
      if (sequence <= place.sequence) return false;
      place.sequence = sequence;
      if ("metadata" in event && event.metadata.recordedAt !== undefined) place.eventTimeMs = timestampMs(event.metadata.recordedAt);
      return true;
    });
  }

  function checkpointOf(index: number, partition: number, place: Place): Checkpoint {
    return { collection: generations[index]?.collection.name ?? "", partition, logId: log.id, ...place };
  }

  function tell(partitions: readonly number[]): void {
    onApplied?.(
      partitions.flatMap((partition) =>
        generations.map((generation, index) => ({ generation, partition, sequence: places.get(partition)?.[index]?.sequence ?? 0 })),
      ),
    );
  }
}

function placeOf(checkpoints: readonly Checkpoint[], partition: number, logId: string): Place {
  const checkpoint = checkpoints.find((candidate) => candidate.partition === partition);
  if (checkpoint === undefined) return { nextOffset: 0, sequence: 0, eventTimeMs: 0 };
  if (checkpoint.logId !== logId) {
    throw new Error(
      `the view ${checkpoint.collection} follows another log (${checkpoint.logId}); remove its documents to build it from this one`,
    );
  }
  const { nextOffset, sequence, eventTimeMs } = checkpoint;
  return { nextOffset, sequence, eventTimeMs };
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
