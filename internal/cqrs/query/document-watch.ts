/**
 * Documents that are followed as they change, by any number of followers. When a view gets on in a partition, the followed documents of that
 * partition are loaded together, once for all who follow them; a partition that gets on meanwhile is loaded again afterwards, so at most one
 * load per partition is under way however fast events come.
 */

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type Bell, createBell } from "../bell.ts";
import type { Applied, DocumentReader, StoredDocument } from "../documents.ts";
import { partitionOf } from "../partition.ts";
import { appliedIn } from "../positions.ts";
import type { View } from "../projection.ts";
import type { Freshness } from "./freshness.ts";

/** How many documents one load asks for at most: few enough that queries between two loads hardly wait. */
const MAX_LOADED = 500;

/** A document as it was found. */
export interface Shown<Document> {
  /** Undefined: there is none yet. */
  readonly document: Document | undefined;
  readonly applied: Applied;
}

/** Documents of one view whose ids are those of the events' aggregates. */
export interface DocumentWatch<Document> {
  /**
   * The document as it is, then as it changes, until the signal aborts. Whoever takes it slowly gets the latest state only; no state is older
   * than the one before.
   *
   * @throws {DocumentsUnavailableError}
   * @throws {NotYetVisibleError} nobody knows yet which stream the view follows
   */
  follow(id: string, signal: AbortSignal): AsyncGenerator<Shown<Document>>;
}

/** What documents are followed of. */
export interface DocumentWatchOptions<Desc extends DescMessage> {
  readonly documents: Pick<DocumentReader, "load">;
  readonly freshness: Pick<Freshness, "watch" | "stream">;
  readonly view: View<Desc>;
}

interface Follower<Document> {
  readonly bell: Bell;
  /** The partition sequence that a document shows. */
  readonly sequenceOf: (document: Pick<StoredDocument, "applied">) => number;
  /** What it has not taken yet. */
  next: Shown<Document> | undefined;
  failure: { readonly error: unknown } | undefined;
  /** The partition sequence of what it was last given; 0 if there was no document. Unlike a revision, it is the same in every generation. */
  sequence: number | undefined;
}

interface Place<Document> {
  readonly followers: Map<string, Set<Follower<Document>>>;
  /** What is to be loaded next, in the order in which it was asked for. */
  readonly due: Set<string>;
  isLoading: boolean;
}

/** Follows documents for as long as the freshness lives. */
export function createDocumentWatch<Desc extends DescMessage>(options: DocumentWatchOptions<Desc>): DocumentWatch<MessageShape<Desc>> {
  type Document = MessageShape<Desc>;
  const { documents, freshness, view } = options;
  /** By partition. */
  const places = new Map<number, Place<Document>>();

  freshness.watch(view, (partition) => {
    const place = places.get(partition);
    if (place === undefined) return;
    for (const id of place.followers.keys()) place.due.add(id);
    void loadDue(place);
  });

  return {
    async *follow(id, signal) {
      const stream = freshness.stream(view);
      const partition = partitionOf(id, stream.partitions);
      const place = placeOf(partition);
      const follower: Follower<Document> = {
        bell: createBell(),
        sequenceOf: ({ applied }) => appliedIn(applied, stream.id, partition),
        next: undefined,
        failure: undefined,
        sequence: undefined,
      };
      const followers = place.followers.get(id) ?? new Set();
      place.followers.set(id, followers.add(follower));
      place.due.add(id);
      void loadDue(place);
      try {
        while (!signal.aborted) {
          const { next, failure } = follower;
          follower.next = undefined;
          if (failure !== undefined) throw failure.error;
          if (next === undefined) await follower.bell.rung(signal);
          else yield next;
        }
      } finally {
        followers.delete(follower);
        if (followers.size === 0 && place.followers.get(id) === followers) place.followers.delete(id);
      }
    },
  };

  function placeOf(partition: number): Place<Document> {
    const place = places.get(partition) ?? { followers: new Map(), due: new Set(), isLoading: false };
    places.set(partition, place);
    return place;
  }

  async function loadDue(place: Place<Document>): Promise<void> {
    if (place.isLoading) return;
    place.isLoading = true;
    while (place.due.size > 0) {
      const ids = [...place.due.keys().take(MAX_LOADED)].toSorted();
      for (const id of ids) place.due.delete(id);
      // Only those who ask already: what is loaded now may be older than what a later one has waited for.
      const asking = ids.map((id) => [...(place.followers.get(id) ?? [])]);
      try {
        const found = await documents.load(view.collection.name, ids);
        // Large documents come in several loads.
        for (const id of ids.slice(found.length)) place.due.add(id);
        asking.slice(0, found.length).forEach((followers, index) => show(followers, found[index]));
      } catch (error) {
        for (const follower of asking.flat()) {
          follower.failure = { error };
          follower.bell.ring();
        }
      }
    }
    place.isLoading = false;
  }

  function show(followers: readonly Follower<Document>[], stored: StoredDocument | undefined): void {
    const behind = followers.filter(({ sequence, sequenceOf }) => sequence === undefined || (stored && sequence < sequenceOf(stored)));
    if (behind.length === 0) return;
    const shown = { document: stored && view.decode(stored.fields), applied: stored?.applied ?? {} };
    for (const follower of behind) {
      follower.sequence = stored === undefined ? 0 : follower.sequenceOf(stored);
      follower.next = shown;
      follower.bell.ring();
    }
  }
}
