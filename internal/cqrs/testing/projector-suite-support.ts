/** Projectors that die, and logs that are read in other ways. */

import { orders, startProjector } from "../../../test/support/order-runtime.ts";
import { type Checkpoint, type Documents, DocumentsUnavailableError } from "../documents.ts";
import { recordProof } from "../event/record-proof.ts";
import type { Consumer, Log, LogRecord } from "../log.ts";
import { presentRecords } from "../present-records.ts";
import type { Projection } from "../projection.ts";
import { startBuild } from "../projector/generation-changes.ts";
import { inGeneration, openCatalogue } from "../projector/generations.ts";

/** Where a projector dies. */
export interface Death {
  /** After so many documents and checkpoints. */
  readonly afterWrites: number;
  /** Which of a batch's documents and of its checkpoints come first. */
  readonly order: number;
}

const neverDies: Death = { afterWrites: Number.POSITIVE_INFINITY, order: 0 };

/** How a projector runs. */
export interface Run extends Partial<Death> {
  readonly instance?: string;
}

/** So small that every batch is written while the next is folded, however few events it has. */
const BATCH_EVENTS = 4;

const ASK_AGAIN_MS = 2;

/** More than any view has here. */
const MAX_DOCUMENTS = 10_000;

/** Runs a projector until it has applied all events or has died, and says how many documents and checkpoints it wrote. */
export async function project(
  log: Log,
  documents: Documents,
  { instance = "projector", ...death }: Run = {},
): Promise<{ readonly died: boolean; readonly writes: number }> {
  const store = dying(documents, { ...neverDies, ...death });
  const projector = startProjector(log, store.documents, instance, { batchEvents: BATCH_EVENTS });
  const watching = new AbortController();
  const projected = untilProjected(log, documents, watching.signal);
  try {
    await Promise.race([projected, projector.stopped]);
  } catch (error) {
    if (!store.died()) throw error;
  } finally {
    watching.abort();
    await Promise.allSettled([projected, projector[Symbol.asyncDispose]()]);
  }
  return { died: store.died(), writes: store.writes() };
}

/** Documents as a process has them that dies: what it was writing is there in part, and never a checkpoint before all documents. */
function dying(documents: Documents, { afterWrites, order }: Death) {
  let [done, hasDied] = [0, false];
  const take = <Item>(items: readonly Item[]): readonly Item[] => {
    const taken = shuffled(items, order).slice(0, afterWrites - done);
    done += taken.length;
    return taken;
  };
  const write: Documents["write"] = async (writes, checkpoints) => {
    if (afterWrites - done >= writes.length + checkpoints.length) {
      done += writes.length + checkpoints.length;
      return documents.write(writes, checkpoints);
    }
    hasDied = true;
    const partly = take(writes);
    await documents.write(partly, partly.length === writes.length ? take(checkpoints) : []);
    throw new DocumentsUnavailableError("the projector has died");
  };
  return { documents: { ...documents, write } satisfies Documents, died: () => hasDied, writes: () => done };
}

/** Mixed, and the same for the same order. */
function shuffled<Item>(items: readonly Item[], order: number): readonly Item[] {
  const rank = (index: number): number => Math.imul(index + 1, 2_654_435_761 ^ Math.imul(order + 1, 40_503)) >>> 0;
  return items
    .map((item, index) => ({ item, rank: rank(index) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** A backup of all views as they are, which is restored by the function that it gives. */
export async function savedViews(documents: Documents): Promise<() => Promise<void>> {
  const saved = await Promise.all(
    orders.views.map(async ({ collection }) => {
      const found = await documents.find({ collection: collection.name, where: [], sort: [], limit: MAX_DOCUMENTS });
      const writes = found.documents.map((each) => ({ ...each, collection: collection.name, expectedRevision: 0 }));
      return { collection, writes, checkpoints: await documents.checkpoints(collection.name) };
    }),
  );
  return async () => {
    for (const { collection, writes, checkpoints } of saved) {
      await documents.drop([collection.name]);
      await documents.prepare([collection]);
      await documents.write(writes, checkpoints);
    }
  };
}

/** Begins to build a view anew, as fast as it goes. Returns the view as it is built. */
export async function startRebuild(documents: Documents, view = orders.views[0]): Promise<Projection> {
  if (view === undefined) throw new Error("there is no view");
  const order = { version: view.version, pace: 100, nowMs: 1 };
  const { building } = await openCatalogue(documents).change(view, (entry) => startBuild(entry, order));
  if (building === undefined) throw new Error("nothing is built");
  return inGeneration(view, building);
}

/** Runs a projector until a build is what queries read. */
export async function untilRebuilt(log: Log, documents: Documents, build: Projection): Promise<void> {
  await using projector = startProjector(log, documents);
  const isLive = async (): Promise<boolean> => {
    const [entry] = await openCatalogue(documents).load([build]);
    if (entry?.building?.state === "failed") throw new Error(entry.building.note);
    return entry?.live.collection === build.collection.name;
  };
  while (!(await isLive())) await Promise.race([projector.stopped, new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS))]);
}

/** Waits until the checkpoints are at the end of the log. */
export async function untilProjected(log: Log, documents: Documents, signal: AbortSignal): Promise<void> {
  const ends = await log.ends(orders.topics.events.name);
  while (!signal.aborted) {
    const found = await Promise.all(orders.views.map((view) => documents.checkpoints(view.collection.name)));
    const reached = (checkpoints: readonly Checkpoint[], partition: number, end: number) =>
      checkpoints.some((each) => each.partition === partition && each.nextOffset >= end);
    if (found.every((checkpoints) => ends.every((end, partition) => reached(checkpoints, partition, end)))) return;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/**
 * The documents as a projector finds them that died before it wrote its last checkpoints: the checkpoint of each view in each partition is at
 * a place before or at its end, which the numbers choose, until it is written again.
 */
export async function atEarlierCheckpoints(documents: Documents, log: Log, places: readonly number[]): Promise<Documents> {
  const stream = log.topicId(orders.topics.events.name);
  const current = new Map<string, Checkpoint>();
  const keyOf = ({ collection, partition }: Checkpoint): string => `${collection}/${partition}`;
  for (let partition = 0; partition < log.partitions; partition += 1) {
    const records = (await Array.fromAsync(presentRecords(log, { topic: orders.topics.events.name, partition }))).flat();
    const sequences = records.map((record) => Number(orders.events.read(record.value).metadata?.sequence));
    for (const [view, { collection }] of orders.views.entries()) {
      const nextOffset = (places[view * log.partitions + partition] ?? 0) % (records.length + 1);
      const last = records[nextOffset - 1];
      const proof = last === undefined ? "" : recordProof(last);
      const sequence = Math.max(0, ...sequences.slice(0, nextOffset));
      const checkpoint = { collection: collection.name, stream, partition, nextOffset, sequence, eventTimeMs: 0, proof };
      current.set(keyOf(checkpoint), checkpoint);
    }
  }
  return {
    ...documents,
    checkpoints: async (collection) => [...current.values()].filter((checkpoint) => checkpoint.collection === collection),
    async write(writes, checkpoints) {
      const conflicts = await documents.write(writes, checkpoints);
      if (conflicts.length === 0) for (const checkpoint of checkpoints) current.set(keyOf(checkpoint), checkpoint);
      return conflicts;
    },
  };
}

/** The log as a projector sees it that shares no partition with the others, because it does not know of them. */
export function inAnotherGroup(log: Log): Log {
  return { ...log, consume: (options) => log.consume({ ...options, group: `${options.group}-other` }) };
}

/** The log in batches of these sizes, in turn. */
export function inBatches(log: Log, sizes: readonly number[]): Log {
  let polls = 0;
  return polling(log, (poll, limits) => {
    const maxRecords = sizes[polls % sizes.length] ?? limits.maxRecords;
    polls += 1;
    return poll({ ...limits, maxRecords });
  });
}

/** The log as it would be if an event of each partition were missing. */
export function without(log: Log, offset: number): Log {
  return polling(log, async (poll, limits) => {
    const found = await poll(limits);
    return { ...found, records: found.records.filter((record) => record.offset !== offset) };
  });
}

/** The log, whose records have been appended at other times, once it is told to change: as if its end had been lost and decided again. */
export function withOtherTimes(log: Log): { readonly log: Log; readonly change: () => void } {
  let isChanged = false;
  return {
    change: () => void (isChanged = true),
    log: {
      ...log,
      async tail(options) {
        const records = await log.tail(options);
        return isChanged ? later(records) : records;
      },
    },
  };
}

async function* later(batches: AsyncIterable<readonly LogRecord[]>): AsyncGenerator<readonly LogRecord[]> {
  for await (const records of batches) yield records.map((record) => ({ ...record, timestampMs: record.timestampMs + 1 }));
}

type Poll = Consumer["poll"];

function polling(log: Log, poll: (original: Poll, limits: Parameters<Poll>[0]) => ReturnType<Poll>): Log {
  return {
    ...log,
    async consume(options) {
      const consumer = await log.consume(options);
      return { ...consumer, poll: (limits) => poll(consumer.poll, limits) };
    },
  };
}
