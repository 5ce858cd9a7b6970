/**
 * Taking a partition over is reading: a former owner's records precede its offsets, which the broker
 * accepts only before our generation begins. So whatever it can still commit lies before the end of
 * the state topic as we find it after joining, and once we have read up to there, read-committed, we
 * know all of it.
 *
 * What the local copy holds is not read again. So the copy must be of the topic that is there: its
 * last record is read first, and it must be what was copied. A topic that lost its end, or was
 * restored, has something else at that offset, or nothing; then the partition is read from its
 * beginning. So it is where compaction has removed that record, which takes a long absence.
 */

import { LogUnavailableError } from "../../cqrs/log.ts";
import type { Fetcher } from "./fetcher.ts";
import type { KafkaRecord } from "./record-batch.ts";
import { markOf, nextOffset, type RecordMark, type StateStore } from "./state-store.ts";

/** A takeover that stands still so long waits for a transaction of somebody who is probably dead: it is ended for him. */
const STUCK_AFTER_MS = 400;

/** Even an unknown writer's transaction is over by then: the broker ends it. */
const GIVE_UP_AFTER_MS = 60_000;

/** What is copied of the state at once. */
const STATE_BATCH = { maxRecords: 2_000, maxBytes: 4 * 1024 * 1024 } as const;

/**
 * A copy that is older may miss that a key was deleted: the broker forgets deletions after a day. Half
 * of it leaves room for clocks that differ.
 */
const MAX_ABSENCE_MS = 12 * 60 * 60 * 1000;

/** Behind the last record there is at most the marker of its transaction, if nothing came since. */
const MARKER_OFFSETS = 1;

/** The header by which a state record names the producer that wrote it. */
export const WRITER_HEADER = "writer";

export interface StateReaderOptions {
  readonly store: StateStore;
  /** Of the state topic. */
  readonly fetcher: Fetcher;
  /** Ends the open transaction of a writer, who is probably dead. */
  readonly endTransactionOf: (writer: string) => Promise<void>;
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly now?: () => number;
}

export interface StateReader {
  /**
   * Brings the copy of partitions up to date, and returns where each of them ended.
   *
   * @throws {LogUnavailableError} the state cannot be read now
   */
  read(partitions: readonly number[]): Promise<ReadonlyMap<number, number>>;
}

export function createStateReader({ store, fetcher, endTransactionOf, now = Date.now }: StateReaderOptions): StateReader {
  /** By partition, what must come first where the copy goes on. */
  const unproven = new Map<number, RecordMark>();

  return {
    async read(partitions) {
      const ends = await fetcher.ends(partitions);
      unproven.clear();
      for (const [partition, end] of ends) goOn(partition, end);
      await readUpTo(ends);
      // Behind the last record there may be the marker of its transaction by now.
      await readUpTo(await fetcher.ends(partitions));
      // What waits would keep all the bytes that it was fetched with.
      store.write();
      const read = partitions.map((partition) => [partition, fetcher.position(partition) ?? 0] as const);
      for (const partition of partitions) fetcher.drop(partition);
      return new Map(read);
    },
  };

  /** Reads on from the last record of the copy, if there may be one in the topic. */
  function goOn(partition: number, end: number): void {
    const position = store.position(partition);
    const { last } = position;
    if (last === undefined) fetcher.seek(partition, 0);
    else if (last.offset >= end) startOver(partition);
    else if (end > nextOffset(position) + MARKER_OFFSETS && now() - last.timestampMs > MAX_ABSENCE_MS) startOver(partition);
    else {
      unproven.set(partition, last);
      fetcher.seek(partition, last.offset);
    }
  }

  function startOver(partition: number): void {
    unproven.delete(partition);
    store.clear(partition);
    fetcher.seek(partition, 0);
  }

  async function readUpTo(ends: ReadonlyMap<number, number>): Promise<void> {
    do {
      await arriveAt(ends);
      copyArrived();
      // Of these nothing came at all, although the copy has a last record.
      for (const partition of unproven.keys()) startOver(partition);
    } while (behind(ends).length > 0);
  }

  async function arriveAt(ends: ReadonlyMap<number, number>): Promise<void> {
    let movedAtMs = Date.now();
    let lookedAtMs = movedAtMs;
    for (let waiting = behind(ends); waiting.length > 0; waiting = behind(ends)) {
      const before = positionsOf(waiting);
      await Promise.race([fetcher.changed, new Promise((resolve) => setTimeout(resolve, STUCK_AFTER_MS))]);
      copy(fetcher.take(STATE_BATCH));
      const nowMs = Date.now();
      if (positionsOf(waiting) !== before) movedAtMs = lookedAtMs = nowMs;
      else if (nowMs - movedAtMs > GIVE_UP_AFTER_MS)
        throw new LogUnavailableError(`the state of partition ${waiting.join()} is held back by an open transaction`);
      else if (nowMs - lookedAtMs > STUCK_AFTER_MS) {
        await endTransactionsIn(waiting);
        lookedAtMs = Date.now();
      }
    }
  }

  function behind(ends: ReadonlyMap<number, number>): readonly number[] {
    return [...ends].flatMap(([partition, end]) => ((fetcher.position(partition) ?? 0) < end ? [partition] : []));
  }

  function positionsOf(partitions: readonly number[]): string {
    return partitions.map((partition) => fetcher.position(partition)).join();
  }

  async function endTransactionsIn(partitions: readonly number[]): Promise<void> {
    const writers = new Set(partitions.map((partition) => store.position(partition).writer));
    for (const writer of writers) if (writer !== undefined) await endTransactionOf(writer);
  }

  function copyArrived(): void {
    for (let rest = fetcher.take(STATE_BATCH); rest.length > 0; rest = fetcher.take(STATE_BATCH)) copy(rest);
  }

  function copy(records: readonly KafkaRecord[]): void {
    for (const [partition, ofPartition] of Map.groupBy(records, (record) => record.partition)) {
      const mark = unproven.get(partition);
      if (mark === undefined) apply(partition, ofPartition);
      else if (isMarked(ofPartition[0], mark)) {
        unproven.delete(partition);
        apply(partition, ofPartition.slice(1));
      } else startOver(partition);
    }
  }

  function apply(partition: number, records: readonly KafkaRecord[]): void {
    const last = records.at(-1);
    if (last === undefined) return;
    const position = {
      last: markOf({ ...last, value: valueOf(last) }, last),
      writer: last.headers?.[WRITER_HEADER] ?? store.position(partition).writer,
    };
    store.apply([{ partition, records: records.map((record) => ({ key: record.key, value: valueOf(record) })), position }]);
  }
}

function isMarked(record: KafkaRecord | undefined, mark: RecordMark): boolean {
  if (record === undefined) return false;
  const found = markOf({ key: record.key, value: valueOf(record) }, record);
  return found.offset === mark.offset && found.checksum === mark.checksum && found.timestampMs === mark.timestampMs;
}

function valueOf({ value, deleted }: KafkaRecord): Uint8Array | null {
  return deleted === true ? null : value;
}
