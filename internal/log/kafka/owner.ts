/**
 * The owner port: a consumer whose transactions are fenced by its generation (P3), with the state of its partitions at hand.
 *
 * Taking a partition over is reading: a former owner's records precede its offsets, which the broker accepts only before our generation
 * begins. So whatever it can still commit lies before the end of the state topic as we find it after joining, and once we have read up to
 * there, read-committed, we know all of it.
 *
 * Whom we ask for the end may be a leader that was replaced and does not know it yet, and name an end that was passed long ago. Only a write
 * finds the true end: the first one after a takeover must lie where the reading has ended, or the partition is taken over again.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { FencedError, LogUnavailableError, type NewRecord, type Owner, type OwnOptions } from "../../cqrs/log.ts";
import { startConsumer } from "./consumer.ts";
import { typeOf } from "./errors.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, type KafkaConfig } from "./kafkajs.ts";
import type { Assignment } from "./membership.ts";
import type { Placed } from "./produce.ts";
import type { KafkaRecord } from "./record-batch.ts";
import { type StatePosition, type StateRecord, StateStore } from "./state-store.ts";
import { endTransactionOf, Transactor } from "./transactor.ts";

/** A takeover that stands still so long waits for a transaction of somebody who is probably dead: it is ended for him. */
const STUCK_AFTER_MS = 400;

/** Even an unknown writer's transaction is over by then: the broker ends it. */
const TAKE_OVER_DEADLINE_MS = 60_000;

/** A member hears of a rebalance with its next heartbeat. */
const REBALANCE_NOTICE_MS = 1_000;

const rebalanceErrors: ReadonlySet<string> = new Set(["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS"]);

/** What is copied of the state at once. */
const STATE_BATCH = { maxRecords: 2_000, maxBytes: 4 * 1024 * 1024 } as const;

/**
 * A poll returns no more than takes a few milliseconds to decide, and in a turn of its own: a transaction under way is five requests, one
 * after the other, and each answer waits for whoever decides. Fewer would be committed a little sooner, in smaller and dearer transactions.
 */
const POLL_RECORDS = 250;

/** The header by which a state record names the producer that wrote it. */
const WRITER_HEADER = "writer";

export interface OwnerContext {
  readonly config: KafkaConfig;
  readonly logId: string;
  /** Where the local copy of the state lies; null keeps it in memory. */
  readonly stateDirectory: string | null;
  /** @throws {TypeError | RangeError} a record is impossible */
  readonly check: (record: NewRecord) => void;
}

export async function startOwner({ config, logId, stateDirectory, check }: OwnerContext, options: OwnOptions): Promise<Owner> {
  const { group, topic, stateTopic, instance } = options;
  const writer = `${group}/${instance}`;
  const signature = { [WRITER_HEADER]: writer };
  const transactor = new Transactor(config, writer);
  const store = new StateStore(stateDirectory, { logId, topic: stateTopic });
  const stateFetcher = new Fetcher(createCluster(config), stateTopic);
  await using opened = new AsyncDisposableStack();
  opened.defer(() => store.close());
  opened.defer(() => stateFetcher.close());
  opened.defer(() => transactor.discard());
  await stateFetcher.open();
  await transactor.initialise();
  const consumer = await startConsumer(config, options);
  const owned = opened.move();
  let leaving: Promise<void> | undefined;
  let transacting: Promise<void> | undefined;
  /** Where the state of a partition ended when it was read, until a write has confirmed it. */
  const unconfirmedEnds = new Map<number, number>();

  return {
    writer,
    seek: consumer.seek,
    reset: consumer.reset,
    async poll({ maxRecords, ...limits }) {
      const found = await consumer.poll({ maxRecords: Math.min(maxRecords, POLL_RECORDS), ...limits });
      if (found.records.length > 0) await nextTurn();
      if (found.gained.length === 0) return found;
      // A transaction that is under way belongs to what has to be read, and what it writes is put into the store when it is done.
      await transacting?.catch(() => undefined);
      await takeOver(found.gained);
      return found;
    },
    load: (partition, keys) => Promise.resolve(store.load(partition, keys)),
    async transact(transaction) {
      transacting = transact(transaction);
      await transacting;
    },
    [Symbol.asyncDispose]: () => (leaving ??= leave()),
  };

  async function transact({ records, consumed, generation = consumer.generation }: Parameters<Owner["transact"]>[0]): Promise<void> {
    records.forEach(check);
    if (consumed.size === 0) throw new RangeError("a transaction without consumed offsets would not be fenced");
    const assignment = consumer.reported;
    const foreign = [...consumed.keys()].filter((partition) => !assignment?.partitions.includes(partition));
    const isOld = generation !== consumer.generation || consumer.membership.assignment !== assignment;
    if (assignment === undefined || foreign.length > 0 || isOld) {
      throw new FencedError(`the partitions of ${group} have been dealt anew`);
    }
    const signed = records.map((record) =>
      record.topic === stateTopic ? { ...record, headers: record.headers ? { ...record.headers, ...signature } : signature } : record,
    );
    const placed = await transactor
      .run({ records: signed, group, topic, consumed, assignment, check: checkEnds })
      .catch(async (error: unknown) => {
        // The broker knows of a new generation before this member does: to try again before it has heard of it would be in vain.
        if (error instanceof FencedError && rebalanceErrors.has(typeOf(error.cause) ?? "")) await newAssignment(assignment);
        throw error;
      });
    const written = Map.groupBy(
      records.filter((record) => record.topic === stateTopic),
      ({ partition }) => partition,
    );
    for (const partition of written.keys()) unconfirmedEnds.delete(partition);
    const ends = new Map(
      placed.filter((place) => place.topic === stateTopic).map(({ partition, baseOffset, count }) => [partition, baseOffset + count]),
    );
    store.apply(
      [...written].map(([partition, changes]) => ({
        partition,
        records: changes,
        position: { nextOffset: ends.get(partition) ?? 0, writer },
      })),
    );
  }

  async function leave(): Promise<void> {
    await consumer[Symbol.asyncDispose]();
    await owned.disposeAsync();
  }

  async function newAssignment(old: Assignment): Promise<void> {
    if (consumer.membership.assignment !== old) return;
    await Promise.race([consumer.membership.changed, new Promise((resolve) => setTimeout(resolve, REBALANCE_NOTICE_MS))]);
  }

  async function takeOver(partitions: readonly number[]): Promise<void> {
    await transactor.initialise();
    const ends = await stateFetcher.ends(partitions);
    for (const [partition, end] of ends) {
      if (store.position(partition).nextOffset > end) store.clear(partition);
      stateFetcher.seek(partition, store.position(partition).nextOffset);
    }
    await readUpTo(ends);
    // Behind the last record there may be the marker of its transaction by now.
    await readUpTo(await stateFetcher.ends(partitions));
    for (let rest = stateFetcher.take(STATE_BATCH); rest.length > 0; rest = stateFetcher.take(STATE_BATCH)) copy(rest);
    // What waits would keep all the bytes that it was fetched with.
    store.write();
    for (const partition of partitions) {
      unconfirmedEnds.set(partition, stateFetcher.position(partition) ?? 0);
      stateFetcher.drop(partition);
    }
  }

  async function readUpTo(ends: ReadonlyMap<number, number>): Promise<void> {
    const deadlineMs = Date.now() + TAKE_OVER_DEADLINE_MS;
    const behind = (): readonly number[] =>
      [...ends].flatMap(([partition, end]) => ((stateFetcher.position(partition) ?? 0) < end ? [partition] : []));
    for (let waiting = behind(), sinceMs = Date.now(); waiting.length > 0; waiting = behind()) {
      const before = waiting.map((partition) => stateFetcher.position(partition)).join();
      await Promise.race([stateFetcher.changed, new Promise((resolve) => setTimeout(resolve, STUCK_AFTER_MS))]);
      copy(stateFetcher.take(STATE_BATCH));
      if (waiting.map((partition) => stateFetcher.position(partition)).join() !== before) sinceMs = Date.now();
      else if (Date.now() > deadlineMs)
        throw new LogUnavailableError(`the state of partition ${waiting.join()} is held back by an open transaction`);
      else if (Date.now() - sinceMs > STUCK_AFTER_MS) {
        await endForeignTransactions(waiting);
        sinceMs = Date.now();
      }
    }
  }

  /** @throws {FencedError} there is state that was not read */
  function checkEnds(placed: readonly Placed[]): void {
    const firsts = Map.groupBy(
      placed.filter((place) => place.topic === stateTopic),
      ({ partition }) => partition,
    );
    for (const [partition, [first]] of firsts) {
      const end = unconfirmedEnds.get(partition);
      if (first === undefined || end === undefined || first.baseOffset === end) continue;
      throw new FencedError(`the state of partition ${partition} was read up to ${end}, but goes on to ${first.baseOffset}`);
    }
  }

  async function endForeignTransactions(partitions: readonly number[]): Promise<void> {
    const writers = new Set(
      partitions.map((partition) => store.position(partition).writer).filter((name) => name !== undefined && name !== writer),
    );
    for (const name of writers) if (name !== undefined) await endTransactionOf(config, name);
  }

  function copy(records: readonly KafkaRecord[]): void {
    const changes = [...Map.groupBy(records, ({ partition }) => partition)].map(([partition, ofPartition]) => {
      const last = ofPartition.at(-1);
      const position: StatePosition = {
        nextOffset: (last?.offset ?? -1) + 1,
        writer: last?.headers?.[WRITER_HEADER] ?? store.position(partition).writer,
      };
      return {
        partition,
        records: ofPartition.map(({ key, value, deleted }): StateRecord => ({ key, value: deleted === true ? null : value })),
        position,
      };
    });
    store.apply(changes);
  }
}
