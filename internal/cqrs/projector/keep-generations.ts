/**
 * Keeps generations of views up to date: folds the events of the partitions it is given, a batch at a time, then writes the checkpoints (P6).
 * While it is behind, one batch is written while the next is folded. Which generations these are may change while it runs.
 */

import { type Bell, createBell } from "../bell.ts";
import { DocumentsSetBackError } from "../documents.ts";
import type { LogRecord, Poll } from "../log.ts";
import type { Projection } from "../projection.ts";
import { TooManyBytesError } from "./document-cache.ts";
import { createPartitions, type PartitionsOptions, type PreparedBatch } from "./kept-partitions.ts";
import { type Ongoing, ongoing } from "./ongoing.ts";

/** How many events one batch takes at most: enough to write each busy document once for many events. */
const BATCH_EVENTS = 1_000;

/** How many bytes of events one batch takes at most. In memory they are several times as large, and so are their documents. */
const BATCH_BYTES = 8 * 1024 * 1024;

/**
 * How many bytes of documents one batch should write: small events may belong to large documents. How many events that are, the batches before
 * tell; the first is small, and each may be twice as large as the one before.
 */
const BATCH_DOCUMENT_BYTES = 16 * 1024 * 1024;
const FIRST_BATCH_EVENTS = 64;

/**
 * A batch of at least this share of the most that it may take is written while the next is folded. After a smaller one there is little to do,
 * and what comes while it is written shares the next.
 */
const LARGE_BATCH = 0.25;

const POLL_WAIT_MS = 5_000;

/** What is kept, from where, and as whom. */
export interface KeepOptions extends PartitionsOptions {
  readonly group: string;
  /** How many events one batch takes at most. Default 1,000. */
  readonly batchEvents?: number;
  /** The generations to keep. Asked again when `changes` has rung. */
  readonly generations: () => readonly Projection[];
  /** Rings when the generations may have changed. */
  readonly changes?: Bell;
  /**
   * Whether some of these are to be kept no more. Another projector that has heard of it earlier may have removed them already; then the
   * news of it is waited for. Absent: they are all kept to the end.
   */
  readonly areGivenUp?: (generations: readonly Projection[]) => Promise<boolean>;
  /** Told when those of before are not kept any more. */
  readonly onChanged?: () => void;
  /** Rings when somebody has asked for something of a parked key. */
  readonly requests?: Bell;
  /** Told every few seconds at least while it gets on. */
  readonly onProgress?: () => void;
  /** Awaited between batches, with the milliseconds that the last one took. Absent: batches overlap. */
  readonly rest?: (workedMs: number) => Promise<void>;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {GapError} the partition sequence has a gap
 * @throws {FencedError} another has joined under this instance's name: this one must end
 * @throws {DocumentsSetBackError} the documents have gone back: start again from what is there
 * @throws {LogUnavailableError | DocumentsUnavailableError} start again when they are back
 */
export async function keepGenerations(options: KeepOptions): Promise<void> {
  const { log, clock, group, instance, topics, signal, batchEvents = BATCH_EVENTS, rest, onProgress, onChanged, areGivenUp } = options;
  const { changes = createBell(), requests = createBell() } = options;
  await using consumer = await log.consume({ group, instance, topic: topics.events.name });
  const happened = createBell();
  let changing = ongoing(changes.rung(signal), happened);
  let asking = ongoing(requests.rung(signal), happened);
  let polling: Ongoing<Poll> | undefined;
  let generations = options.generations();
  let partitions = createPartitions(options, generations, consumer);
  let writing = ongoing(Promise.resolve(), happened);
  let maxRecords = Math.min(batchEvents, FIRST_BATCH_EVENTS);
  try {
    while (!signal.aborted) {
      try {
        await goOn();
      } catch (error) {
        if (!(error instanceof DocumentsSetBackError) || !(await areGivenUp?.(generations))) throw error;
        writing = ongoing(Promise.resolve(), happened);
        await changing.result;
      }
    }
  } finally {
    // Nothing goes on behind its caller's back.
    await Promise.allSettled([writing.result]);
  }

  /** Does what is due, or waits until anything is. */
  async function goOn(): Promise<void> {
    polling ??= ongoing(consumer.poll({ maxRecords, maxBytes: BATCH_BYTES, waitMs: POLL_WAIT_MS }), happened);
    if (writing.isOver) await writing.result;
    if (changing.isOver) {
      await writing.result;
      changing = ongoing(changes.rung(signal), happened);
      generations = options.generations();
      partitions = createPartitions(options, generations, consumer);
      consumer.reset();
      // A poll that is under way may have its records from before.
      polling = ongoing(withoutRecords(polling.result), happened);
      onChanged?.();
    } else if (asking.isOver) {
      asking = ongoing(requests.rung(signal), happened);
      await writing.result;
      await partitions.answerRequests();
    } else if (polling.isOver) {
      const poll = await polling.result;
      polling = undefined;
      await take(poll);
    } else await happened.rung(signal);
  }

  async function take({ generation, lost, gained, records }: Poll): Promise<void> {
    if (generation > 0) onProgress?.();
    if (lost.length + gained.length > 0) {
      await writing.result;
      for (const partition of lost) partitions.release(partition);
      for (const partition of gained) await partitions.takeOver(partition);
      if (gained.length > 0) await partitions.answerRequests();
    }
    for (let left = records; left.length > 0; ) {
      const startedAtMs = clock.now();
      const { batch, taken } = await prepareFirst(left);
      left = left.slice(taken);
      maxRecords = nextBatchEvents(taken, bytesToWrite(batch), maxRecords * 2);
      await writing.result;
      writing = ongoing(partitions.write(batch), happened);
      if (rest === undefined && taken >= batchEvents * LARGE_BATCH) continue;
      await writing.result;
      await rest?.(clock.now() - startedAtMs);
    }
  }

  /** As many of the records as belong to documents that can be held together. */
  async function prepareFirst(records: readonly LogRecord[]): Promise<{ readonly batch: PreparedBatch; readonly taken: number }> {
    for (let taken = records.length; ; taken = Math.ceil(taken / 2)) {
      try {
        return { batch: await partitions.prepare(records.slice(0, taken)), taken };
      } catch (error) {
        if (!(error instanceof TooManyBytesError)) throw error;
      }
    }
  }

  /** As many events as belong to enough documents, if the next are like the last. */
  function nextBatchEvents(events: number, bytes: number, most: number): number {
    const enough = bytes === 0 ? most : Math.floor((events * BATCH_DOCUMENT_BYTES) / bytes);
    return Math.max(1, Math.min(batchEvents, most, enough));
  }
}

function bytesToWrite({ folded }: PreparedBatch): number {
  return folded.round.documents.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function withoutRecords(polling: Promise<Poll>): Promise<Poll> {
  return { ...(await polling), records: [] };
}
