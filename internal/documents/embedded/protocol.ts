/** What the threads of the store are asked. Documents travel as the JSON texts that are stored: only who needs their fields parses them. */

import type { MessagePort } from "node:worker_threads";
import type { Checkpoint, CheckpointWrite, Collection, Find, WriteConflict } from "../../cqrs/documents.ts";

/** A stored document: its id, its revision, and as JSON what is applied and its fields. */
export type Row = readonly [id: string, revision: number, applied: string, fields: string];

/** Where a row has its fields. */
export const FIELDS = 3;

/** A guarded write of a document, with its new revision. */
export interface RowWrite {
  readonly collection: string;
  readonly row: Row;
}

export interface RowPage {
  readonly rows: readonly Row[];
  readonly hasMore: boolean;
}

export interface LoadArgument {
  readonly collection: string;
  readonly ids: readonly string[];
  readonly maxBytes: number | undefined;
}

export interface ReaderMethods {
  load(argument: LoadArgument): readonly (Row | undefined)[];
  find(query: Find): RowPage;
  checkpoints(collection: string): readonly Checkpoint[];
}

export interface WriterMethods extends ReaderMethods {
  prepare(collections: readonly Collection[]): void;
  drop(collections: readonly string[]): void;
  write(argument: { readonly writes: readonly RowWrite[]; readonly checkpoints: readonly CheckpointWrite[] }): readonly WriteConflict[];
  /** From the answer on, the checkpoints of every commit are pushed to this port. */
  watch(argument: null): void;
}

/** By name, for who must not pass on others. */
export const documentsCalls: Readonly<Record<keyof WriterMethods, true>> = {
  prepare: true,
  drop: true,
  load: true,
  write: true,
  find: true,
  checkpoints: true,
  watch: true,
};

/**
 * What the opener passes to a client through the port it gives away: the ports of the threads. In
 * memory, the writer does what the others do.
 */
export interface Introduction {
  readonly writer: MessagePort;
  /** Of documents by their ids, and of checkpoints. */
  readonly loader: MessagePort | undefined;
  /** Finding may take long, and delays no loads. */
  readonly finder: MessagePort | undefined;
}

/** What a worker thread is started with. */
export interface WorkerTask {
  readonly path: string;
  readonly role: "writer" | "loader" | "finder";
}

/** What a worker thread is told: to serve another port, or to close. It says "ready" when the database is open. */
export type WorkerOrder = { readonly serve: MessagePort } | "close";
