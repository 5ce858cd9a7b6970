/**
 * The document port: what the read side needs of MongoDB, or of anything that stands in for it. Promises kept here: the revision check and
 * the applied positions that P6 (a view equals the fold of its events) rests on.
 */

/** A value of a document. A Date may come back as an ISO 8601 string with milliseconds, in UTC; both sort alike. */
export type DocumentValue = string | number | boolean | Date | null | readonly DocumentValue[] | Fields;

/** A plain document, readable by people and BI tools. Field names begin with a letter. */
export interface Fields {
  readonly [field: string]: DocumentValue;
}

/** A document as it is stored. */
export interface StoredDocument {
  readonly id: string;
  /** Rises by one with every write, from 1. */
  readonly revision: number;
  /** Per stream and partition, the partition sequence of the last event that was folded into it. */
  readonly applied: Applied;
  readonly fields: Fields;
}

/** Stream to partition to partition sequence. A stream is named by the id of its events topic. */
export type Applied = Readonly<Record<string, Readonly<Record<number, number>>>>;

/** An index: the fields in order; dots reach into documents. Every index ends in the document's id by itself. */
export interface Index {
  /** Unique in its collection. */
  readonly name: string;
  readonly fields: readonly string[];
  /** The first field holds an array of strings or numbers, and the index has an entry per element. Default: no field holds an array. */
  readonly multikey?: boolean;
}

/** A collection of documents: one generation of one view. Its name is state: renaming it abandons the documents. */
export interface Collection {
  readonly name: string;
  readonly indexes: readonly Index[];
}

/** A guarded write of one document. */
export interface DocumentWrite {
  readonly collection: string;
  readonly id: string;
  /** The revision that was loaded; 0 if there was no document. */
  readonly expectedRevision: number;
  readonly applied: Applied;
  readonly fields: Fields;
}

/** A document that was not written, because its revision was not the expected one. */
export interface WriteConflict {
  readonly collection: string;
  readonly id: string;
}

/**
 * The prefix of checkpoints that belong to no view: writing one tells those who watch checkpoints that something else has changed. Such a
 * checkpoint always replaces the one before.
 */
export const NEWS = "news/";

/** How far a view is complete in a partition of a stream. */
export interface Checkpoint {
  readonly collection: string;
  /** The stream that the positions count: the id of its events topic. */
  readonly stream: string;
  readonly partition: number;
  /** The offset of the next record to apply. */
  readonly nextOffset: number;
  /** The partition sequence of the last event applied. */
  readonly sequence: number;
  /** When that event was recorded, in milliseconds since 1970; 0 if there was none, or if nobody knows. */
  readonly eventTimeMs: number;
  /** Tells the last record before the next offset from any other that may come to stand there; empty if there is none. */
  readonly proof: string;
}

/** A checkpoint to write. */
export interface CheckpointWrite extends Checkpoint {
  /**
   * The next offset of the checkpoint that this one comes after, and that the documents rest on: as
   * it was read or written last. Absent: there was none.
   */
  readonly expectedOffset?: number;
}

/** A condition on a field; dots reach into documents. On a field of an array "eq" and "in" hold if they hold for an element. */
export type Condition =
  | { readonly field: string; readonly op: "eq" | "gt" | "gte" | "lt" | "lte"; readonly value: string | number | Date }
  | { readonly field: string; readonly op: "in"; readonly value: readonly (string | number)[] };

/** A query of one page. All conditions must hold. */
export interface Find {
  readonly collection: string;
  readonly where: readonly Condition[];
  /** Documents that compare equal are sorted by id, in the direction of the last field, or ascending if there is none. */
  readonly sort: readonly { readonly field: string; readonly descending: boolean }[];
  /** Start behind this entry: what {@link Page.next} gave. Absent: from the beginning. */
  readonly after?: SortKey;
  readonly limit: number;
  /** The page ends early, behind its first document, rather than hold more bytes of stored documents. Default {@link FIND_BYTES}. */
  readonly maxBytes?: number;
}

/**
 * What one page may hold, whoever asks for it: an answer with all of it fits into the 4 MiB that clients take, since documents are stored in
 * more bytes than they are sent in.
 */
export const FIND_BYTES = 3 * 1024 * 1024;

/** What one load may hold: as much as a page, since many of them are under way at once. */
export const LOAD_BYTES = 3 * 1024 * 1024;

/** The sort values of an entry, then its id, as the adapter gave them. Sort fields are present in every document. */
export type SortKey = readonly (string | number | boolean | Date)[];

/** What a query found. */
export interface Page {
  readonly documents: readonly StoredDocument[];
  /** Where the next page starts; absent if there are no more. */
  readonly next?: SortKey;
}

/** What an adapter guarantees where adapters differ. */
export interface DocumentGuarantees {
  /**
   * The documents of a process that runs never go back: nobody drops them or restores an older backup under it. Where that can happen,
   * readers confirm that what they rest on is still there.
   */
  readonly neverGoBack: boolean;
}

/** Told of checkpoints. If they are all there are, a checkpoint that is not among them is gone. */
export type CheckpointListener = (checkpoints: readonly Checkpoint[], areAll: boolean) => void;

/** A store of documents. Every call may fail with a {@link DocumentsUnavailableError}. */
export interface Documents extends AsyncDisposable {
  readonly guarantees: DocumentGuarantees;

  /** Creates collections and their indexes where they are missing. Called by the projector before anything else. */
  prepare(collections: readonly Collection[]): Promise<void>;

  /** Removes collections by name with their indexes and checkpoints. Those that are not there are no error. */
  drop(collections: readonly string[]): Promise<void>;

  /**
   * Documents by id, in the order of the ids: those of the first ids that hold no more than so many bytes as they are stored, or a single
   * document. {@link LOAD_BYTES} if nothing is said. {@link loadPieces} and {@link loadAll} ask for the others.
   */
  load(collection: string, ids: readonly string[], maxBytes?: number): Promise<readonly (StoredDocument | undefined)[]>;

  /**
   * Writes documents, each only at its expected revision, then the checkpoints, which are never visible before the documents. If any
   * document conflicts, no checkpoint is written, and the other documents may be. A checkpoint that is behind the one of its collection,
   * stream and partition changes nothing.
   *
   * Before anything is written, the checkpoint that each one comes after must be there, or a later one: whatever was loaded before the
   * call, was then loaded from documents that are complete up to there. Where documents go back after that and before the checkpoints are
   * written, documents that do not conflict may be written, which rest on what was there before; no checkpoint is.
   *
   * @throws {DocumentsSetBackError} the checkpoint that one comes after is gone or lower
   */
  write(writes: readonly DocumentWrite[], checkpoints: readonly CheckpointWrite[]): Promise<readonly WriteConflict[]>;

  /** @throws {SortKeyError} `after` does not fit `sort` */
  find(query: Find): Promise<Page>;

  /** The checkpoints of a collection, in all streams and partitions. */
  checkpoints(collection: string): Promise<readonly Checkpoint[]>;

  /**
   * Calls the listener with every checkpoint as it advances, whoever wrote it, until the signal aborts: of any collection, or of those whose
   * names begin with a prefix. May skip some in between. Resolves when it watches: of what is written from then on, nothing is missed. Where
   * documents can go back, it is told all checkpoints when some are gone, or when it may have missed something.
   */
  watchCheckpoints(listener: CheckpointListener, signal: AbortSignal, prefix?: string): Promise<void>;
}

/** What queries need of the documents. */
export type DocumentReader = Pick<Documents, "load" | "find">;

/**
 * Documents by id, in pieces that hold no more than {@link LOAD_BYTES}, or a single document. The pieces go through the ids in their sorted
 * order, in which stores find them; each has its ids and what was found.
 */
export async function* loadPieces(
  documents: Pick<Documents, "load">,
  collection: string,
  ids: Iterable<string>,
): AsyncGenerator<{ readonly ids: readonly string[]; readonly documents: readonly (StoredDocument | undefined)[] }> {
  for (let rest = [...new Set(ids)].toSorted(); rest.length > 0; ) {
    const found = await documents.load(collection, rest);
    yield { ids: rest.slice(0, found.length), documents: found };
    rest = rest.slice(found.length);
  }
}

/** Documents by id, in the order of the ids, however many bytes they hold: for documents that are known to be small or few. */
export async function loadAll(
  documents: Pick<Documents, "load">,
  collection: string,
  ids: readonly string[],
): Promise<readonly (StoredDocument | undefined)[]> {
  const found = new Map<string, StoredDocument>();
  for await (const piece of loadPieces(documents, collection, ids)) {
    for (const document of piece.documents) if (document !== undefined) found.set(document.id, document);
  }
  return ids.map((id) => found.get(id));
}

/** A page's start that does not fit the query's sort. */
export class SortKeyError extends Error {
  override readonly name = "SortKeyError";
}

/** The document store cannot be reached or does not answer. */
export class DocumentsUnavailableError extends Error {
  override readonly name: string = "DocumentsUnavailableError";
}

/**
 * The documents have gone back under their writer: they were removed, or replaced by an older backup. The writer forgets everything and
 * starts over, as after an outage.
 */
export class DocumentsSetBackError extends DocumentsUnavailableError {
  override readonly name = "DocumentsSetBackError";
}

/** Says of which checkpoint it is noticed. */
export function setBackError({ collection, partition, expectedOffset }: CheckpointWrite): DocumentsSetBackError {
  return new DocumentsSetBackError(
    `the documents of ${collection} have gone back: their checkpoint in partition ${partition} is not at offset ${expectedOffset} any more, or farther; starting over from what is there`,
  );
}
