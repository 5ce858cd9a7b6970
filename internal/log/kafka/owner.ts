/**
 * The owner port: a consumer whose transactions are fenced by its generation (P3), with the state of its partitions at hand.
 *
 * Whom we ask for the end of the state may be a leader that was replaced and does not know it yet, and name an end that was passed long ago.
 * Only a write finds the true end: the first one after a takeover must lie where the reading has ended, or the partition is taken over again.
 * So it is where a write lies before what was read: the topic was set back, or created again.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { FencedError, type Log, type NewRecord, type Owner, type OwnOptions } from "../../cqrs/log.ts";
import { startConsumer } from "./consumer.ts";
import { typeOf } from "./errors.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, type KafkaConfig } from "./kafkajs.ts";
import type { Assignment } from "./membership.ts";
import type { Placed } from "./produce.ts";
import { createStateReader, WRITER_HEADER } from "./state-reader.ts";
import { markOf, nextOffset, type RecordMark, StateStore } from "./state-store.ts";
import { endTransactionOf, Transactor } from "./transactor.ts";

/** A member hears of a rebalance with its next heartbeat. */
const REBALANCE_NOTICE_MS = 1_000;

const rebalanceErrors: ReadonlySet<string> = new Set(["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS"]);

/**
 * A poll returns no more than takes a few milliseconds to decide, and in a turn of its own: a transaction under way is five requests, one
 * after the other, and each answer waits for whoever decides. Fewer would be committed a little sooner, in smaller and dearer transactions.
 */
const POLL_RECORDS = 250;

export interface OwnerContext {
  readonly config: KafkaConfig;
  readonly log: Pick<Log, "topicId" | "partitions">;
  /** Where the local copy of the state lies; null keeps it in memory. */
  readonly stateDirectory: string | null;
  /** @throws {TypeError | RangeError} a record is impossible */
  readonly check: (record: NewRecord) => void;
}

export async function startOwner({ config, log, stateDirectory, check }: OwnerContext, options: OwnOptions): Promise<Owner> {
  const { group, topic, stateTopic, instance } = options;
  const writer = `${group}/${instance}`;
  const signature = { [WRITER_HEADER]: writer };
  const transactor = new Transactor(config, writer);
  const store = new StateStore({ directory: stateDirectory, topic: stateTopic, topicId: log.topicId(stateTopic) });
  const stateFetcher = new Fetcher(createCluster(config), stateTopic);
  await using opened = new AsyncDisposableStack();
  opened.defer(() => store.close());
  opened.defer(() => stateFetcher.close());
  opened.defer(() => transactor.discard());
  await stateFetcher.open();
  await transactor.initialise();
  const consumer = await startConsumer(config, options, log.partitions);
  const owned = opened.move();
  const reader = createStateReader({
    store,
    fetcher: stateFetcher,
    endTransactionOf: async (name) => {
      if (name !== writer) await endTransactionOf(config, name);
    },
  });
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
    load: (partition, keys) => Promise.try(() => store.load(partition, keys)),
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
    const places = new Map(placed.filter((place) => place.topic === stateTopic).map((place) => [place.partition, place]));
    store.apply(
      [...written].map(([partition, changes]) => ({
        partition,
        records: changes,
        position: { last: lastMark(changes, places.get(partition)), writer },
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
    for (const [partition, end] of await reader.read(partitions)) unconfirmedEnds.set(partition, end);
  }

  /** @throws {FencedError} there is state that was not read, or what was read is not there */
  function checkEnds(placed: readonly Placed[]): void {
    const firsts = Map.groupBy(
      placed.filter((place) => place.topic === stateTopic),
      ({ partition }) => partition,
    );
    for (const [partition, [first]] of firsts) {
      const end = unconfirmedEnds.get(partition);
      const known = nextOffset(store.position(partition));
      if (first === undefined || (end === undefined ? first.baseOffset >= known : first.baseOffset === end)) continue;
      throw new FencedError(`the state of partition ${partition} was read up to ${end ?? known}, and is written at ${first.baseOffset}`);
    }
  }
}

/** The mark of the last record that was written to a partition, by the last request that wrote there. */
function lastMark(written: readonly NewRecord[], place: Placed | undefined): RecordMark | undefined {
  const last = written.at(-1);
  if (last === undefined || place === undefined) return undefined;
  return markOf(last, { offset: place.baseOffset + place.count - 1, timestampMs: place.appendedAtMs });
}
