/** Follows the checkpoints by a change stream, across fail-overs. */

import { setTimeout } from "node:timers/promises";
import { type ChangeStream, type ChangeStreamDocument, type Collection, type Db, Timestamp } from "mongodb";
import type { Checkpoint, CheckpointListener } from "../../cqrs/documents.ts";
import { checkpointFromStored, loadCheckpoints, type StoredCheckpoint } from "./checkpoints.ts";

/** Long enough not to burden a store that refuses, short against the time that a fail-over takes. */
const RETRY_MS = 250;

export interface Watch {
  readonly db: Db;
  readonly checkpoints: Collection<StoredCheckpoint>;
  readonly listener: CheckpointListener;
  readonly signal: AbortSignal;
  /** What the names of the collections begin with. */
  readonly prefix: string;
}

type Changes = ChangeStream<StoredCheckpoint, ChangeStreamDocument<StoredCheckpoint>>;

/**
 * Resolves when it watches, with a promise of the watch's end after the signal aborted. The driver resumes a stream that a fail-over
 * interrupts; where it cannot, a new stream begins, and then all checkpoints are read, for what was missed in between.
 */
export async function startWatch(watch: Watch): Promise<{ readonly ended: Promise<void> }> {
  const changes = await openChanges(watch);
  return { ended: keepFollowing(changes, watch) };
}

async function keepFollowing(first: Changes, watch: Watch): Promise<void> {
  let opened: Changes | undefined = first;
  while (!watch.signal.aborted) {
    try {
      await follow(opened ?? (await openAnew(watch)), watch);
    } catch {
      // Why, the queries say that meet the same. The watch tries until MongoDB is back.
      await setTimeout(RETRY_MS, undefined, { signal: watch.signal }).catch(() => undefined);
    }
    opened = undefined;
  }
}

async function openAnew(watch: Watch): Promise<Changes> {
  const changes = await openChanges(watch);
  await tellAll(watch);
  return changes;
}

async function tellAll(watch: Watch): Promise<void> {
  tell(watch, await loadCheckpoints(watch.checkpoints), true);
}

/** The stream itself is opened by the first request for a change; wherever that is, it begins here and now. */
async function openChanges({ db, checkpoints, prefix }: Watch): Promise<Changes> {
  const { operationTime } = await db.command({ ping: 1 });
  if (!(operationTime instanceof Timestamp)) throw new Error("MongoDB must be a replica set: a single server tells nobody of changes");
  // By the id, which begins with the collection's name: so the server looks nothing up of what is not wanted.
  const own = prefix === "" ? {} : { "documentKey._id": { $regex: `^${RegExp.escape(prefix)}` } };
  const pipeline = [{ $match: { operationType: { $in: ["insert", "update", "replace", "delete"] }, ...own } }];
  return checkpoints.watch(pipeline, { fullDocument: "updateLookup", startAtOperationTime: operationTime });
}

async function follow(changes: Changes, watch: Watch): Promise<void> {
  const close = (): void => void changes.close();
  watch.signal.addEventListener("abort", close, { once: true });
  try {
    while (!watch.signal.aborted) await tellChange(watch, await changes.next());
  } finally {
    watch.signal.removeEventListener("abort", close);
    await changes.close();
  }
}

/** A document that was removed since is not there to be looked up; its removal is told in its turn. */
async function tellChange(watch: Watch, change: ChangeStreamDocument<StoredCheckpoint>): Promise<void> {
  if (change.operationType === "delete") return tellAll(watch);
  const document = "fullDocument" in change ? change.fullDocument : undefined;
  if (document) tell(watch, [checkpointFromStored(document)], false);
}

function tell({ listener, signal, prefix }: Watch, checkpoints: readonly Checkpoint[], areAll: boolean): void {
  const wanted = checkpoints.filter(({ collection }) => collection.startsWith(prefix));
  if (!signal.aborted && (areAll || wanted.length > 0)) listener(wanted, areAll);
}
