/**
 * The read side's engine: folds the events of the partitions it is given into the documents of all views (P6). A batch is one fold and one
 * guarded write per document, then the checkpoints. Re-delivered events are skipped by the position that each document carries; a second
 * projector is noticed by the document's revision.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ViewProgressSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import type { EventMetadata } from "../gen/headwater/cqrs/v1/event_pb.ts";
import type { Cancel, Clock } from "./clock.ts";
import { createDocumentCache, type FoldedDocument } from "./document-cache.ts";
import type { Checkpoint, Documents } from "./documents.ts";
import type { Consumer, Log, LogRecord, NewRecord } from "./log.ts";
import type { Projection } from "./projection.ts";
import { untilAborted } from "./until-aborted.ts";
import type { EventMessage, EventReader } from "./upcasting.ts";

/** How many events one batch takes at most: enough to write each busy document once for many events. */
const BATCH_EVENTS = 1_000;

const POLL_WAIT_MS = 5_000;

/** Another projector may win a document's revision; it is loaded and folded again so often before something else must be wrong. */
const MAX_CONFLICT_ROUNDS = 20;

/** Positions are told again so often, for callers that began to listen after they were reached. */
const REPEAT_PROGRESS_MS = 3_000;

/** What a projector works with. */
export interface ProjectorOptions {
  readonly log: Log;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly events: Pick<EventReader, "read">;
  readonly topics: { readonly events: { readonly name: string }; readonly progress: { readonly name: string } };
  readonly views: readonly Projection[];
  /** The consumer group of all projectors of these views. */
  readonly group: string;
  readonly instance: string;
  readonly signal: AbortSignal;
  /** Told again and again, every few seconds at least, while it is a member of its group and gets on. */
  readonly onProgress?: () => void;
}

/** The log does not continue where the views are: events are missing, and to go on would corrupt every view. */
export class GapError extends Error {
  override readonly name = "GapError";
}

/**
 * Runs until the signal aborts.
 *
 * @throws {GapError} the partition sequence has a gap
 * @throws {FencedError} another projector has joined under this instance's name: this one must end
 * @throws {LogUnavailableError | DocumentsUnavailableError} start again when they are back
 */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { log, documents, views, group, instance, topics } = options;
  await documents.prepare(views.map((view) => view.collection));
  await using consumer = await log.consume({ group, instance, topic: topics.events.name });
  const partitions = createPartitions(options, consumer);
  try {
    await projectWhileMember(options, consumer, partitions);
  } finally {
    partitions.close();
  }
}

async function projectWhileMember({ signal, onProgress }: ProjectorOptions, consumer: Consumer, partitions: Partitions): Promise<void> {
  while (!signal.aborted) {
    const poll = await untilAborted(consumer.poll({ maxRecords: BATCH_EVENTS, waitMs: POLL_WAIT_MS }), signal);
    if (poll === undefined) return;
    if (poll.generation > 0) onProgress?.();
    for (const partition of poll.lost) partitions.release(partition);
    for (const partition of poll.gained) await partitions.takeOver(partition);
    if (poll.records.length > 0) await partitions.apply(poll.records);
  }
}

/** Where one view stands in one partition. */
interface Place {
  nextOffset: number;
  sequence: number;
  eventTimeMs: number;
}

interface DecodedEvent {
  readonly event: EventMessage;
  readonly metadata: EventMetadata;
  readonly partition: number;
  readonly offset: number;
  readonly sequence: number;
}

interface Partitions {
  takeOver(partition: number): Promise<void>;
  release(partition: number): void;
  apply(records: readonly LogRecord[]): Promise<void>;
  close(): void;
}

function createPartitions(options: ProjectorOptions, consumer: Consumer): Partitions {
  const { log, documents, clock, views, topics } = options;
  const cache = createDocumentCache(documents);
  /** Per partition, the place of each view, in the order of `views`. */
  const places = new Map<number, readonly Place[]>();
  let cancelRepeat = scheduleRepeat();

  return {
    async takeOver(partition) {
      const found = await Promise.all(views.map((view) => documents.checkpoints(view.collection.name)));
      const taken = found.map((checkpoints) => placeOf(checkpoints, partition, log.id));
      const end = (await log.ends(topics.events.name))[partition] ?? 0;
      if (taken.some((place) => place.nextOffset > end)) {
        throw new GapError(
          `partition ${partition} ends at offset ${end}, before what the views have applied: the log is older than the documents`,
        );
      }
      places.set(partition, taken);
      // Even before the first event, the query side learns from the checkpoints which log the views follow.
      await documents.write(
        [],
        taken.map((place, index) => checkpointOf(index, partition, place)),
      );
      consumer.seek(partition, Math.min(...taken.map((place) => place.nextOffset)));
    },
    release(partition) {
      places.delete(partition);
      // Another projector writes these documents from now on; a stale one would only cost a conflict, but would stay in memory.
      cache.clear();
    },
    apply,
    close: () => cancelRepeat(),
  };

  async function apply(records: readonly LogRecord[]): Promise<void> {
    const events = records.map((record) => decode(options.events, record));
    const after = new Map<number, Place[]>();
    let pending = views.flatMap((view, index) => foldsOf(view, dueEvents(events, index, after)));
    const checkpoints = [...after].flatMap(([partition, next]) => next.map((place, index) => checkpointOf(index, partition, place)));
    for (let round = 0; ; round += 1) {
      if (round === MAX_CONFLICT_ROUNDS) throw new Error(`documents kept changing under the projector for ${MAX_CONFLICT_ROUNDS} rounds`);
      const conflicts = await cache.write(await foldAll(pending), checkpoints);
      if (conflicts.size === 0) break;
      // A document that is written once and exists already was written before a crash that lost the checkpoint.
      pending = pending.filter(({ view, id }) => !view.writeOnce && conflicts.has(cache.keyOf(view, id)));
    }
    for (const [partition, next] of after) places.set(partition, next);
    publish([...after.keys()]);
  }

  /** The events that a view has not applied, in order; notes in `after` where the view will be. */
  function dueEvents(events: readonly DecodedEvent[], viewIndex: number, after: Map<number, Place[]>): readonly DecodedEvent[] {
    return events.filter(({ partition, offset, sequence, metadata }) => {
      const taken = places.get(partition);
      if (taken === undefined) throw new Error(`events of partition ${partition} came before it was taken over`);
      const next = after.get(partition) ?? taken.map((place) => ({ ...place }));
      after.set(partition, next);
      const place = next[viewIndex];
      if (place === undefined || offset < place.nextOffset) return false;
      if (sequence > place.sequence + 1) {
        throw new GapError(
          `partition ${partition} goes from event ${place.sequence} to ${sequence} at offset ${offset}: events are missing`,
        );
      }
      place.nextOffset = offset + 1;
      if (sequence <= place.sequence) return false;
      place.sequence = sequence;
      if (metadata.recordedAt !== undefined) place.eventTimeMs = timestampMs(metadata.recordedAt);
      return true;
    });
  }

  async function foldAll(folds: readonly Fold[]): Promise<readonly FoldedDocument[]> {
    const loaded = await cache.load(folds);
    const folded: FoldedDocument[] = [];
    folds.forEach(({ view, id, events }, index) => {
      const before = loaded[index];
      let document = before?.document;
      const applied: Record<number, number> = { ...before?.applied };
      for (const { event, partition, sequence } of events) {
        if (sequence <= (applied[partition] ?? 0)) continue;
        document = view.fold(document, id, event);
        applied[partition] = sequence;
      }
      if (document !== undefined && document !== before?.document) {
        folded.push({ view, id, document, applied, revision: before?.revision ?? 0 });
      }
    });
    return folded;
  }

  function checkpointOf(viewIndex: number, partition: number, place: Place): Checkpoint {
    return { collection: views[viewIndex]?.collection.name ?? "", partition, logId: log.id, ...place };
  }

  /** Tells those who wait for views; a notification, repeated soon if it is lost. */
  function publish(partitions: readonly number[]): void {
    const records = partitions.flatMap((partition) =>
      (places.get(partition) ?? []).map((place, index): NewRecord => {
        const view = views[index]?.name ?? "";
        const value = create(ViewProgressSchema, { view, partition, sequence: BigInt(place.sequence) });
        return { topic: topics.progress.name, partition: 0, key: view, value: toBinary(ViewProgressSchema, value) };
      }),
    );
    if (records.length > 0) log.append(records).catch(() => undefined);
  }

  function scheduleRepeat(): Cancel {
    return clock.after(REPEAT_PROGRESS_MS, () => {
      publish([...places.keys()]);
      cancelRepeat = scheduleRepeat();
    });
  }
}

/** What a batch does to one document. */
interface Fold {
  readonly view: Projection;
  readonly id: string;
  readonly events: DecodedEvent[];
}

function foldsOf(view: Projection, events: readonly DecodedEvent[]): readonly Fold[] {
  const folds = new Map<string, Fold>();
  for (const event of events) {
    for (const id of view.keys(event.event)) {
      const fold = folds.get(id) ?? { view, id, events: [] };
      folds.set(id, fold);
      fold.events.push(event);
    }
  }
  return [...folds.values()];
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

function decode(reader: ProjectorOptions["events"], record: LogRecord): DecodedEvent {
  const event = reader.read(record.value);
  const { metadata } = event;
  if (metadata === undefined) throw new Error(`the event at offset ${record.offset} of partition ${record.partition} has no metadata`);
  return { event, metadata, partition: record.partition, offset: record.offset, sequence: Number(metadata.sequence) };
}
