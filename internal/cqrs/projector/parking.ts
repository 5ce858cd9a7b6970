/**
 * Parked keys: where an event cannot be applied, its key waits in that view, with all its later events behind it, while all other keys go on
 * (P7). The queue is not copied: the events stay in the log, and a key's entry says where to go on.
 */

import { type Checkpoint, type Collection, type Condition, type Documents, loadAll, NEWS, type SortKey } from "../documents.ts";
import { PARKED, parkedFromStored, parkedWrite, storedState } from "./stored-parked-keys.ts";

const PARKED_NEWS = `${NEWS}${PARKED}`;

/** The collection, to be prepared by whoever writes to it. */
export const parkedCollection: Collection = {
  name: PARKED,
  indexes: [
    { name: "partition", fields: ["partition", "state"] },
    { name: "state", fields: ["state", "parkedAt"] },
  ],
};

/** What waits. */
export type ParkedScope =
  /** A document of the view: its fold fails. */
  | "document"
  /** All documents that an aggregate's events would change: which these are, its event does not tell. */
  | "aggregate"
  /** Nothing: a record that is no event of this log, kept to be looked at. */
  | "record";

/** The event that cannot be applied. */
export interface ParkedEvent {
  /** The partition sequence; 0 for a record that is no event. */
  readonly sequence: number;
  readonly offset: number;
  readonly aggregateId: string;
  /** When it was appended, in milliseconds since 1970. */
  readonly recordedAtMs: number;
}

/** What an operator wants to become of an entry. */
export interface ParkedRequest {
  /** Retry: apply it and what waits behind it. Skip: leave this one event out, and apply what waits behind it. */
  readonly action: "retry" | "skip";
  readonly reason: string;
  readonly by: string;
  readonly atMs: number;
}

/** What became of a request. */
export interface ParkedAnswer extends ParkedRequest {
  readonly sequence: number;
  /** Empty: done. Otherwise why it waits on. */
  readonly error: string;
}

/** The entry of a key. It stays when the key goes on, for those who ask later what was left out and why. */
export interface ParkedKey {
  readonly id: string;
  /** 0: it is not stored yet. */
  readonly revision: number;
  /** The generation of the view. */
  readonly collection: string;
  readonly view: string;
  readonly stream: string;
  readonly partition: number;
  readonly scope: ParkedScope;
  /** The document's or the aggregate's id, or the record's offset. */
  readonly key: string;
  /** Dropped: the generation was given up. */
  readonly state: "parked" | "retried" | "skipped" | "dropped";
  readonly event: ParkedEvent;
  readonly error: string;
  readonly parkedAtMs: number;
  /** How many events wait, the one that failed included. */
  readonly depth: number;
  /** The partition sequence of the last of them. */
  readonly queuedTo: number;
  /** The partition sequences of the events that were left out. */
  readonly skipped: readonly number[];
  readonly request?: ParkedRequest;
  readonly answers: readonly ParkedAnswer[];
}

/** How many keys of one projector may wait. More is no bad event, but a bad view. */
export const MAX_PARKED_KEYS = 10_000;

/** How many answers an entry remembers. */
const MAX_ANSWERS = 20;

const PAGE = 500;

/** The id of a key's entry. */
export function parkedId(place: Pick<ParkedKey, "collection" | "stream" | "partition" | "scope" | "key">): string {
  const { collection, stream, partition, scope, key } = place;
  return `${collection}/${stream}/${partition}/${scope}/${key}`;
}

/** Entries of a partition that matter to who folds its events: what waits, and what was left out. */
export async function loadParked(documents: Pick<Documents, "find">, stream: string, partition: number): Promise<readonly ParkedKey[]> {
  return findAll(documents, [
    { field: "partition", op: "eq", value: partition },
    { field: "state", op: "in", value: [storedState("parked"), storedState("skipped")] },
    { field: "stream", op: "eq", value: stream },
  ]);
}

/** Why sequences of a partition have no document in a view that has one per event. */
export interface LeftOut {
  /** The first event that waits for an operator; infinite if none does. Events behind it may wait too. */
  readonly waitsFrom: number;
  /** The events that were left out for good. */
  readonly skipped: ReadonlySet<number>;
}

/** What is missing, and may be, in a partition of a view's generation. */
export async function loadLeftOut(
  documents: Pick<Documents, "find">,
  { view, collection, stream, partition }: Pick<ParkedKey, "view" | "collection" | "stream" | "partition">,
): Promise<LeftOut> {
  const entries = (await loadParked(documents, stream, partition)).filter((entry) => entry.view === view && entry.scope !== "record");
  const waiting = entries.filter((entry) => entry.state === "parked" && entry.collection === collection);
  return {
    waitsFrom: Math.min(Number.POSITIVE_INFINITY, ...waiting.map(({ event }) => event.sequence)),
    skipped: new Set(entries.flatMap(({ skipped }) => skipped)),
  };
}

/** Entries for people, those that wait or all, the longest waiting first. */
export async function listParked(documents: Pick<Documents, "find">, { all = false } = {}): Promise<readonly ParkedKey[]> {
  const states = all ? (["parked", "retried", "skipped", "dropped"] as const) : (["parked"] as const);
  const found = await findAll(documents, [{ field: "state", op: "in", value: states.map(storedState) }]);
  return found.toSorted((a, b) => a.parkedAtMs - b.parkedAtMs);
}

async function findAll(documents: Pick<Documents, "find">, where: readonly Condition[]): Promise<ParkedKey[]> {
  const entries: ParkedKey[] = [];
  let after: { readonly after: SortKey } | undefined;
  do {
    const page = await documents.find({ collection: PARKED, where, sort: [], limit: PAGE, ...after });
    entries.push(...page.documents.map(parkedFromStored));
    after = page.next && { after: page.next };
  } while (after !== undefined);
  return entries;
}

/** Notes that generations have been given up: what waited in them waits no more. What was left out stays so in the others. */
export async function dropParked(documents: Documents, collections: readonly string[]): Promise<void> {
  const waiting = (await listParked(documents)).filter(({ collection }) => collections.includes(collection));
  const dropped = waiting.map((entry) => parkedWrite({ ...entry, state: entry.skipped.length > 0 ? "skipped" : "dropped", depth: 0 }));
  if (dropped.length > 0) await documents.write(dropped, []);
}

/** Entries by id. */
export async function loadParkedById(
  documents: Pick<Documents, "load">,
  ids: readonly string[],
): Promise<readonly (ParkedKey | undefined)[]> {
  return (await loadAll(documents, PARKED, ids)).map((stored) => stored && parkedFromStored(stored));
}

/** Asks the projectors for something: the one that has the partition answers. */
export async function requestParked(documents: Documents, entry: ParkedKey, request: ParkedRequest): Promise<boolean> {
  const conflicts = await documents.write([parkedWrite({ ...entry, request })], [parkedAnnouncement(entry, request)]);
  return conflicts.length === 0;
}

/** Whether a checkpoint tells that somebody has asked for something, or was answered. */
export function isParkedRequest({ collection }: Checkpoint): boolean {
  return collection === PARKED_NEWS;
}

/** The entry after its request was dealt with: done, or waiting on with the event that stands in its way. */
export function answered(entry: ParkedKey, failure?: Pick<ParkedKey, "event" | "error" | "depth" | "queuedTo">): ParkedKey {
  const { request, ...rest } = entry;
  if (request === undefined) return entry;
  const { sequence } = entry.event;
  const skipped = request.action === "skip" ? [...entry.skipped, sequence] : entry.skipped;
  const answer: ParkedAnswer = { ...request, sequence, error: failure?.error ?? "" };
  const answers = [...entry.answers, answer].slice(-MAX_ANSWERS);
  if (failure !== undefined) {
    const { event, error, depth, queuedTo } = failure;
    return { ...rest, event, error, depth, queuedTo, skipped, answers };
  }
  return { ...rest, state: skipped.length > 0 ? "skipped" : "retried", depth: 0, skipped, answers };
}

/** The time and the revision make it differ from the one before: a store tells nobody of a write that changes nothing. */
export function parkedAnnouncement({ revision, stream, partition }: ParkedKey, { atMs }: Pick<ParkedRequest, "atMs">): Checkpoint {
  return { collection: PARKED_NEWS, stream, partition, nextOffset: atMs, sequence: revision, eventTimeMs: 0, proof: "" };
}
