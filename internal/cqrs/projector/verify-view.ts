/**
 * Compares the documents of a view with a fold of its events from the first on, while the system runs (P6). A document is compared at the
 * position that it says it has, so nothing has to stand still. Documents that no event belongs to are looked for when all are compared.
 */

import { type Applied, type Documents, type DocumentValue, loadAll, type SortKey, type StoredDocument } from "../documents.ts";
import { type DeliveredEvent, delivered, type ReadableEvent } from "../event/delivered-event.ts";
import type { Log, LogRecord } from "../log.ts";
import { murmur2 } from "../partition.ts";
import { appliedIn, appliedUpTo } from "../positions.ts";
import type { Projection } from "../projection.ts";
import type { EventReader } from "../upcasting.ts";
import { bytesOf } from "./document-bytes.ts";
import { listParked, type ParkedKey } from "./parking.ts";

/** What is verified, and how thoroughly. */
export interface VerifyOptions {
  readonly log: Log;
  readonly documents: Documents;
  readonly events: Pick<EventReader, "read">;
  readonly topics: { readonly events: { readonly name: string } };
  /** The view in the generation to verify. */
  readonly view: Projection;
  /** All documents, in as many passes over the log as memory wants; otherwise a sample in one pass, which is all of them if they are few. */
  readonly all: boolean;
  readonly signal: AbortSignal;
  /** How many documents are folded at once. Default 20,000. */
  readonly maxDocuments?: number;
  /** About how many bytes of documents are folded at once. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Awaited after each piece of work, with how many events it folded, so that what shares the thread has its turn. */
  readonly onEvents?: (count: number) => Promise<void> | void;
}

/** A document that is not what its events make of it. */
export interface Mismatch {
  readonly id: string;
  readonly problem: string;
}

/** What was found. */
export interface Verification {
  /** How many documents were compared. */
  readonly documents: number;
  /** How many passes over the events it took. */
  readonly passes: number;
  readonly mismatches: readonly Mismatch[];
}

const MAX_DOCUMENTS = 20_000;

/** The documents are there twice, folded and stored, and as objects they take a few times as much. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Documents that are loaded, or compared, in one piece: some tens of milliseconds. */
const DOCUMENTS_AT_ONCE = 500;

/** More than these say nothing new. */
const MAX_MISMATCHES = 100;

const HASHES = 2 ** 32;

const encoder = new TextEncoder();

/** @throws {LogUnavailableError | DocumentsUnavailableError} */
export async function verifyView(options: VerifyOptions): Promise<Verification> {
  const { all, signal } = options;
  let documents = 0;
  let passes = 0;
  let reached = 0;
  const suspects: string[] = [];
  const hashes = new Set<number>();
  for (let isOver = false; !isOver && !signal.aborted && suspects.length < MAX_MISMATCHES; ) {
    const pass = await foldPass(options, { from: reached, until: HASHES });
    suspects.push(...(await compare(options, pass, [...pass.expected.keys()])).map(({ id }) => id));
    for (const id of pass.expected.keys()) hashes.add(hashOf(id));
    documents += pass.expected.size;
    passes += 1;
    reached = pass.until;
    isOver = !all || reached === HASHES;
  }
  if (reached === HASHES) suspects.push(...(await strangers(options, hashes)));
  // What was parked, retried or skipped meanwhile may have made a document look wrong: only what still is counts.
  const mismatches = suspects.length === 0 ? [] : await verifyAgain(options, new Set(suspects));
  return { documents, passes, mismatches: mismatches.slice(0, MAX_MISMATCHES) };
}

async function verifyAgain(options: VerifyOptions, ids: ReadonlySet<string>): Promise<readonly Mismatch[]> {
  return compare(options, await foldPass(options, { from: 0, until: HASHES, ids }), [...ids]);
}

/** Documents with ids that no event had; those that came meanwhile are among them, so there may be as many as can be looked at again. */
async function strangers(
  { documents, view, signal, maxDocuments = MAX_DOCUMENTS }: VerifyOptions,
  hashes: ReadonlySet<number>,
): Promise<readonly string[]> {
  const found: string[] = [];
  let after: SortKey | undefined;
  do {
    const position = after === undefined ? {} : { after };
    const page = await documents.find({ collection: view.collection.name, where: [], sort: [], limit: DOCUMENTS_AT_ONCE, ...position });
    found.push(...page.documents.map(({ id }) => id).filter((id) => !hashes.has(hashOf(id))));
    after = page.next;
  } while (after !== undefined && !signal.aborted && found.length < maxDocuments);
  return found;
}

/** Documents by the hashes of their ids, or by their ids. */
interface Window {
  readonly from: number;
  readonly until: number;
  readonly ids?: ReadonlySet<string>;
}

/** A document as its events make it. */
interface Expected {
  readonly document: object | undefined;
  readonly applied: Applied;
  /** Why it cannot be folded. */
  readonly problem?: string;
}

interface Pass {
  readonly expected: Map<string, Expected>;
  /** Behind the last hash that was folded. */
  readonly until: number;
  /** Per partition, where the fold has ended. */
  readonly ends: ReadonlyMap<number, { readonly nextOffset: number; readonly sequence: number }>;
  readonly parked: ParkedPlaces;
}

async function foldPass(options: VerifyOptions, window: Window): Promise<Pass> {
  const { documents, log, view, topics, events, signal, maxDocuments = MAX_DOCUMENTS, maxBytes = MAX_BYTES } = options;
  const ends = new Map((await documents.checkpoints(view.collection.name)).map((checkpoint) => [checkpoint.partition, checkpoint]));
  const parked = parkedPlaces(view, await listParked(documents, { all: true }));
  const stream = log.topicId(topics.events.name);
  const read = (record: LogRecord): DeliveredEvent => delivered(events, stream, record);
  const expected = new Map<string, Expected>();
  const isNew = onceEach();
  let { until } = window;
  /** Of the documents, at most: a document has the bytes of its events, until it is measured. */
  let bytes = 0;
  for (const { partition, nextOffset } of ends.values()) {
    for await (const records of await log.tail({ topic: topics.events.name, partition, from: 0, to: nextOffset, signal })) {
      for (const record of records) {
        const event = read(record);
        if (!isNew(event)) continue;
        foldInto(expected, view, event, parked, (id) => {
          const isWanted = inWindow(id, { ...window, until });
          if (isWanted) bytes += record.value.length;
          return isWanted;
        });
      }
      if (bytes > maxBytes) bytes = bytesOfAll(view, expected);
      while (
        (expected.size > maxDocuments || bytes > maxBytes) &&
        expected.size > 1 &&
        until > window.from + 1 &&
        window.ids === undefined
      ) {
        until = window.from + Math.ceil((until - window.from) / 2);
        for (const id of expected.keys()) if (!inWindow(id, { ...window, until })) expected.delete(id);
        if (bytes > maxBytes) bytes = bytesOfAll(view, expected);
      }
      await options.onEvents?.(records.length);
    }
  }
  return { expected, until, ends, parked };
}

function bytesOfAll(view: Projection, expected: ReadonlyMap<string, Expected>): number {
  let bytes = 0;
  for (const { document } of expected.values()) bytes += document === undefined ? 0 : bytesOf(view.encode(document));
  return bytes;
}

/** A log may have an event twice: whoever has seen its sequence passes over it. */
function onceEach(seen: ReadonlyMap<number, { readonly sequence: number }> = new Map()): (event: DeliveredEvent) => boolean {
  const last = new Map([...seen].map(([partition, { sequence }]) => [partition, sequence]));
  return ({ partition, sequence = 0 }) => {
    if (sequence <= (last.get(partition) ?? 0)) return false;
    last.set(partition, sequence);
    return true;
  };
}

function inWindow(id: string, { from, until, ids }: Window): boolean {
  if (ids !== undefined) return ids.has(id);
  const hash = hashOf(id);
  return hash >= from && hash < until;
}

function hashOf(id: string): number {
  return murmur2(encoder.encode(id)) >>> 0;
}

function foldInto(
  expected: Map<string, Expected>,
  view: Projection,
  event: DeliveredEvent,
  parked: ParkedPlaces,
  isWanted: (id: string) => boolean,
): void {
  if (!("event" in event) || parked.holdsBack("aggregate", event.aggregateId, event)) return;
  for (const id of view.keys(event.event)) {
    if (!isWanted(id)) continue;
    const before = expected.get(id);
    if (before?.problem === undefined && !parked.holdsBack("document", id, event)) expected.set(id, folded(view, id, before, event));
  }
}

function folded(view: Projection, id: string, before: Expected | undefined, delivery: ReadableEvent): Expected {
  const { partition, sequence } = delivery;
  const applied = appliedUpTo(before?.applied, delivery);
  try {
    return { document: view.fold(before?.document, id, delivery.event), applied };
  } catch (error) {
    const problem = `event ${sequence} of partition ${partition} cannot be applied: ${error instanceof Error ? error.message : String(error)}`;
    return { document: before?.document, applied, problem };
  }
}

async function compare(options: VerifyOptions, pass: Pass, ids: readonly string[]): Promise<readonly Mismatch[]> {
  const { documents, view, signal, onEvents } = options;
  const pieces = Array.from({ length: Math.ceil(ids.length / DOCUMENTS_AT_ONCE) }, (_, index) =>
    ids.slice(index * DOCUMENTS_AT_ONCE, (index + 1) * DOCUMENTS_AT_ONCE),
  );
  const stored = new Map<string, StoredDocument>();
  for (const piece of pieces) {
    if (signal.aborted) return [];
    for (const document of await loadAll(documents, view.collection.name, piece)) {
      if (document !== undefined) stored.set(document.id, document);
    }
    await onEvents?.(0);
  }
  await catchUp(options, pass, stored);
  const mismatches: Mismatch[] = [];
  for (const piece of pieces) {
    for (const id of piece) {
      const problem = problemOf(view, pass.expected.get(id), stored.get(id));
      if (problem !== undefined) mismatches.push({ id, problem });
    }
    await onEvents?.(0);
  }
  return mismatches;
}

/** Folds what documents have taken in since the checkpoints that the pass ended at. */
async function catchUp({ log, topics, view, events, signal }: VerifyOptions, pass: Pass, stored: ReadonlyMap<string, StoredDocument>) {
  const stream = log.topicId(topics.events.name);
  const read = (record: LogRecord): DeliveredEvent => delivered(events, stream, record);
  const isNew = onceEach(pass.ends);
  const ends = await log.ends(topics.events.name);
  for (const [partition, { nextOffset, sequence }] of pass.ends) {
    const ahead = [...stored.values()].filter(({ applied }) => appliedIn(applied, stream, partition) > sequence);
    if (ahead.length === 0) continue;
    const positions = new Map(ahead.map(({ id, applied }) => [id, appliedIn(applied, stream, partition)]));
    for await (const records of await log.tail({
      topic: topics.events.name,
      partition,
      from: nextOffset,
      to: ends[partition] ?? 0,
      signal,
    })) {
      for (const event of records.map(read).filter(isNew)) {
        foldInto(pass.expected, view, event, pass.parked, (id) => (event.sequence ?? 0) <= (positions.get(id) ?? 0));
      }
    }
  }
}

function problemOf(view: Projection, expected: Expected | undefined, stored: StoredDocument | undefined): string | undefined {
  if (expected === undefined) return stored === undefined ? undefined : "no event belongs to it";
  const { document, applied, problem } = expected;
  if (problem !== undefined) return problem;
  if (document === undefined) return undefined;
  if (stored === undefined) return "it is missing";
  const wanted = view.encode(document, applied);
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(stored.fields)])];
  const wrong = names.filter((name) => canonical(wanted[name]) !== canonical(stored.fields[name]));
  return wrong.length === 0 ? undefined : `it differs from its events in ${wrong.join(", ")}`;
}

/** The same text for the same value, in whatever order its fields are, and however a store gives back dates. */
function canonical(value: DocumentValue | undefined): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** What is not in the documents, because it waits or was left out. */
interface ParkedPlaces {
  holdsBack(scope: "aggregate" | "document", key: string, event: ReadableEvent): boolean;
}

function parkedPlaces(view: Projection, entries: readonly ParkedKey[]): ParkedPlaces {
  const ofView = Map.groupBy(
    entries.filter((entry) => entry.view === view.name),
    ({ partition, scope, key }) => `${partition}/${scope}/${key}`,
  );
  return {
    holdsBack(scope, key, { partition, sequence }) {
      if (ofView.size === 0) return false;
      const found = ofView.get(`${partition}/${scope}/${key}`) ?? [];
      // What was left out is left out of all generations; what waits, waits in its own.
      return found.some(
        ({ skipped, collection, state, event }) =>
          skipped.includes(sequence) || (collection === view.collection.name && state === "parked" && sequence >= event.sequence),
      );
    },
  };
}
