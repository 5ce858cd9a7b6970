/**
 * The outcomes that an aggregate remembers, so that a command is decided once however often and
 * however late it is sent again (P2). The latest lie in the snapshot's own record. Older ones lie in
 * pages, which are records of their own, so that what is written with every decision stays small.
 */

import { create } from "@bufbuild/protobuf";
import { type CommandOutcome, CommandOutcomeSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import { OutcomePageSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { decode } from "../decode.ts";
import { encode, keep } from "../encode.ts";
import { timestampToMs } from "../time.ts";

/** How many outcomes the snapshot's record holds. Most aggregates have fewer commands in all, and cost no other record. */
const RECENT_OUTCOMES = 64;

/** How many outcomes make a page: the older half of the recent ones, so that a page is written once in so many decisions. */
const PAGE_OUTCOMES = RECENT_OUTCOMES / 2;

/** For so long a command that is sent again is answered with its first outcome. The README states it. */
const REMEMBERED_MS = 24 * 60 * 60 * 1000;

/** Times of acceptance come from the clocks of the command services, which may differ by so much. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;

/**
 * How many outcomes are kept for one aggregate. An accepted command takes about 80 bytes of the state
 * topic, so this is about 800 KB for an aggregate that gets a command every nine seconds, day and
 * night. Past it, commands are refused: one that was decided without memory could be decided twice.
 */
export const MAX_OUTCOMES = 10_000;

/** An outcome in memory: as bytes, since it is written often and hardly ever read. */
interface RememberedOutcome {
  readonly commandId: string;
  readonly bytes: Uint8Array;
  readonly acceptedMs: number;
}

interface Page {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly commandIds: readonly string[];
  /** The latest time of acceptance among its outcomes. */
  readonly youngestMs: number;
}

/** What is in memory of an outcome in a page beside its bytes: its id, and a place in a map. */
const HELD_PER_OUTCOME_BYTES = 128;

/** The keys of pages in the state topic begin so. No aggregate's id begins with an underscore. */
const PAGE_KEY = "_outcomes/";

/** The key of a page in the state topic. */
export function pageKey(aggregateId: string, page: number): string {
  return `${PAGE_KEY}${aggregateId}/${page}`;
}

/** The aggregate and the page that a key of the state topic names; undefined: it is no page's key. */
export function pageOfKey(key: string): { readonly aggregateId: string; readonly page: number } | undefined {
  if (!key.startsWith(PAGE_KEY)) return undefined;
  const slash = key.lastIndexOf("/");
  return { aggregateId: key.slice(PAGE_KEY.length, slash), page: Number(key.slice(slash + 1)) };
}

/** The keys of the pages that a snapshot's record names, oldest first. */
export function pageKeysOf(snapshot: {
  readonly aggregateId: string;
  readonly firstPage: number;
  readonly nextPage: number;
}): readonly string[] {
  const { aggregateId, firstPage, nextPage } = snapshot;
  return Array.from({ length: nextPage - firstPage }, (_, index) => pageKey(aggregateId, firstPage + index));
}

/** What an aggregate remembers. It changes only while a slice is decided. */
export class Outcomes {
  readonly #aggregateId: string;
  /** Oldest first. */
  readonly #recent: RememberedOutcome[] = [];
  /** Oldest first. */
  readonly #pages: Page[] = [];
  /** By command id. Absent: there has been no page. */
  #paged: Map<string, Page> | undefined;
  #nextPage: number;
  /** Pages that are not written yet, by number; null: deleted. */
  #changes: Map<number, Uint8Array | null> | undefined;

  /** As a snapshot's record has them, and its pages in the order of {@link pageKeysOf}. */
  constructor(aggregateId: string, recent: readonly CommandOutcome[] = [], firstPage = 1, pages: readonly Uint8Array[] = []) {
    this.#aggregateId = aggregateId;
    for (const outcome of recent) this.#recent.push(remembered(outcome));
    // Snapshots without pages need not name one.
    this.#nextPage = Math.max(1, firstPage);
    for (const bytes of pages) this.#addPage(bytes, decode(OutcomePageSchema, bytes).outcomes);
  }

  /** The latest, encoded, oldest first: what the snapshot's record holds. */
  get recent(): readonly Uint8Array[] {
    return this.#recent.map(({ bytes }) => bytes);
  }

  /** The pages that are kept, oldest first. */
  get pages(): readonly { readonly number: number; readonly bytes: Uint8Array }[] {
    return this.#pages;
  }

  /** The range of pages for the snapshot's record. */
  get range(): { readonly firstPage: number; readonly nextPage: number } {
    return { firstPage: this.#nextPage - this.#pages.length, nextPage: this.#nextPage };
  }

  get isFull(): boolean {
    return this.#recent.length + this.#pages.length * PAGE_OUTCOMES >= MAX_OUTCOMES;
  }

  /** The first outcome of a command, encoded; undefined: it is not remembered. */
  find(commandId: string): Uint8Array | undefined {
    const recent = this.#recent.find((outcome) => outcome.commandId === commandId);
    if (recent !== undefined) return recent.bytes;
    const page = this.#paged?.get(commandId);
    const found = page && decode(OutcomePageSchema, page.bytes).outcomes.find((outcome) => outcome.commandId === commandId);
    return found && encode(CommandOutcomeSchema, found);
  }

  /** Remembers an outcome, and returns it encoded. */
  add(outcome: CommandOutcome): Uint8Array {
    const added = remembered(outcome);
    this.#recent.push(added);
    if (this.#recent.length > RECENT_OUTCOMES) this.#turnPage();
    return added.bytes;
  }

  /** Forgets the pages that are older than they must be kept, by the time at which a command was accepted. */
  forgetOld(nowMs: number): void {
    const oldestMs = nowMs - REMEMBERED_MS - CLOCK_SKEW_MS;
    while (this.#pages[0] !== undefined && this.#pages[0].youngestMs < oldestMs) this.#dropPage(this.#pages[0]);
  }

  /** How long after a time the oldest page will be forgotten. */
  fullForMs(nowMs: number): number {
    return Math.max(0, (this.#pages[0]?.youngestMs ?? nowMs) + REMEMBERED_MS + CLOCK_SKEW_MS - nowMs);
  }

  /** The pages to write since this was last asked for: their keys, and their values or null to delete them. */
  takeChanges(): readonly { readonly key: string; readonly value: Uint8Array | null }[] {
    if (this.#changes === undefined) return [];
    const changes = [...this.#changes].map(([page, value]) => ({ key: pageKey(this.#aggregateId, page), value }));
    this.#changes = undefined;
    return changes;
  }

  /** What the pages take in memory. */
  get pagedBytes(): number {
    return this.#pages.reduce((sum, { bytes }) => sum + bytes.length + PAGE_OUTCOMES * HELD_PER_OUTCOME_BYTES, 0);
  }

  #turnPage(): void {
    const outcomes = this.#recent.splice(0, PAGE_OUTCOMES);
    const messages = outcomes.map(({ bytes }) => bytes);
    const page = create(OutcomePageSchema, { aggregateId: this.#aggregateId });
    // A copy: what is encoded lies in a buffer beside other messages.
    const bytes = encode(OutcomePageSchema, page, { field: OutcomePageSchema.field.outcomes, messages }).slice();
    (this.#changes ??= new Map()).set(this.#nextPage, bytes);
    this.#addPage(bytes, outcomes);
  }

  #addPage(bytes: Uint8Array, outcomes: readonly (CommandOutcome | RememberedOutcome)[]): void {
    const youngestMs = Math.max(...outcomes.map((outcome) => ("acceptedMs" in outcome ? outcome.acceptedMs : acceptedMsOf(outcome))));
    const page: Page = { number: this.#nextPage, bytes, commandIds: outcomes.map(({ commandId }) => commandId), youngestMs };
    this.#nextPage += 1;
    this.#pages.push(page);
    this.#paged ??= new Map();
    for (const commandId of page.commandIds) this.#paged.set(commandId, page);
  }

  #dropPage(page: Page): void {
    this.#pages.shift();
    for (const commandId of page.commandIds) this.#paged?.delete(commandId);
    (this.#changes ??= new Map()).set(page.number, null);
  }
}

function remembered(outcome: CommandOutcome): RememberedOutcome {
  const bytes = keep(encode(CommandOutcomeSchema, outcome));
  return { commandId: outcome.commandId, bytes, acceptedMs: acceptedMsOf(outcome) };
}

function acceptedMsOf({ acceptedAt }: CommandOutcome): number {
  return acceptedAt === undefined ? 0 : timestampToMs(acceptedAt);
}
