/** The documents that a projector has at hand. A stale one does no harm: its write conflicts, and it is loaded again. */

import {
  type Applied,
  type CheckpointWrite,
  type Documents,
  type DocumentWrite,
  type Fields,
  loadPieces,
  type StoredDocument,
  type WriteConflict,
} from "../documents.ts";
import type { Projection } from "../projection.ts";

/** How many documents are kept: some tens of megabytes of usual orders. */
const MAX_CACHED_DOCUMENTS = 20_000;

/** How many bytes of documents are kept, as they are stored: as messages they take several times as much. */
const MAX_CACHED_BYTES = 32 * 1024 * 1024;

/** A document as it is stored. */
export interface KnownDocument {
  readonly document: object;
  readonly applied: Applied;
  readonly revision: number;
}

/** A document as the fold left it, to be written. */
export interface FoldedDocument extends DocumentPlace, KnownDocument {
  readonly fields: Fields;
  /** About how many these are. */
  readonly bytes: number;
  /** The revision it was loaded at; 0 if it is new. */
  readonly revision: number;
}

/** A document that this code cannot read. */
export interface UnreadableDocument {
  readonly unreadable: string;
  readonly applied: Applied;
}

/** A document, if this code can read it. */
export type CachedDocument = KnownDocument | UnreadableDocument;

/** Where a document is. */
export interface DocumentPlace {
  readonly view: Projection;
  readonly id: string;
}

/** Loads and writes documents through what is at hand. */
export interface DocumentCache {
  keyOf(view: Projection, id: string): string;
  /**
   * Documents in the order of the places asked for; undefined where there is none.
   *
   * @throws {TooManyBytesError} more than `maxPieces` pieces of documents would have to be loaded
   */
  load(places: readonly DocumentPlace[], maxPieces?: number): Promise<readonly (CachedDocument | undefined)[]>;
  /**
   * Writes documents and whatever else belongs to them, then checkpoints, and returns the keys of what conflicted, documents by `keyOf`;
   * these are forgotten. From the call on, the documents are at hand as they are being written; after a failure none of them is.
   */
  write(
    documents: readonly FoldedDocument[],
    checkpoints: readonly CheckpointWrite[],
    others?: readonly DocumentWrite[],
  ): Promise<ReadonlySet<string>>;
  /** Forgets documents, to load them as they are by now. */
  forget(places: readonly DocumentPlace[]): void;
  clear(): void;
}

/** The documents that are asked for together are larger than can be held. */
export class TooManyBytesError extends Error {
  override readonly name = "TooManyBytesError";

  constructor() {
    super("the documents that these events belong to are too large together; take fewer events at once");
  }
}

/** Creates a cache over the documents of all views. */
export function createDocumentCache(documents: Documents, { maxBytes = MAX_CACHED_BYTES } = {}): DocumentCache {
  const cache = new Map<string, KnownDocument & { readonly bytes: number }>();
  let cachedBytes = 0;
  const keyOf = (view: Projection, id: string): string => `${view.collection.name}/${id}`;

  return {
    keyOf,
    async load(places, maxPieces = Number.POSITIVE_INFINITY) {
      const missing = places.filter(({ view, id }) => !view.writeOnce && !cache.has(keyOf(view, id)));
      const loaded = new Map<string, CachedDocument>();
      let pieces = 0;
      const byView = [...Map.groupBy(missing, ({ view }) => view)];
      await Promise.all(
        byView.map(async ([view, wanted]) => {
          const ids = wanted.map(({ id }) => id);
          for await (const piece of loadPieces(documents, view.collection.name, ids)) {
            pieces += 1;
            if (pieces > maxPieces + byView.length) throw new TooManyBytesError();
            for (const stored of piece.documents) if (stored !== undefined) loaded.set(keyOf(view, stored.id), decoded(view, stored));
          }
        }),
      );
      return places.map(({ view, id }) => cache.get(keyOf(view, id)) ?? loaded.get(keyOf(view, id)));
    },
    async write(folded, checkpoints, others = []) {
      const writes = folded.map(
        ({ view, id, applied, revision, fields }): DocumentWrite => ({
          collection: view.collection.name,
          id,
          expectedRevision: revision,
          applied,
          fields,
        }),
      );
      // What is folded meanwhile builds on these.
      for (const { view, id, document, applied, revision, bytes } of folded) {
        const key = keyOf(view, id);
        forget(key);
        if (view.writeOnce) continue;
        cache.set(key, { document, applied, revision: revision + 1, bytes });
        cachedBytes += bytes;
      }
      let conflicts: readonly WriteConflict[];
      try {
        conflicts = await documents.write([...writes, ...others], checkpoints);
      } catch (error) {
        // Which of them are as they were, nobody knows.
        for (const { view, id } of folded) forget(keyOf(view, id));
        throw error;
      }
      const conflicting = new Set(conflicts.map(({ collection, id }) => `${collection}/${id}`));
      for (const key of conflicting) forget(key);
      for (const key of cache.keys()) {
        if (cache.size <= MAX_CACHED_DOCUMENTS && cachedBytes <= maxBytes) break;
        forget(key);
      }
      return conflicting;
    },
    forget(places) {
      for (const { view, id } of places) forget(keyOf(view, id));
    },
    clear() {
      cache.clear();
      cachedBytes = 0;
    },
  };

  function forget(key: string): void {
    cachedBytes -= cache.get(key)?.bytes ?? 0;
    cache.delete(key);
  }
}

function decoded(view: Projection, { applied, revision, fields }: StoredDocument): CachedDocument {
  try {
    return { applied, revision, document: view.decode(fields) };
  } catch (error) {
    return { applied, unreadable: `the stored document cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}
