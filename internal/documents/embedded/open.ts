/** Opens an embedded document store: SQLite in worker threads, so that its synchronous calls never hold up the thread that asks. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { startThread } from "../../platform/thread.ts";
import { connectEmbeddedDocuments } from "./connect.ts";
import type { Introduction, WorkerOrder, WorkerTask } from "./protocol.ts";

export interface EmbeddedDocuments extends Documents {
  /** A port to give to another thread, for {@link connectEmbeddedDocuments}. Disposing of the store disconnects it. */
  connect(): MessagePort;
  /** Rejects if a thread of the store dies, with its error; never resolves otherwise. */
  readonly failed: Promise<never>;
}

/** In a directory the documents outlive the process; in memory they end with it. */
export type EmbeddedDocumentsPlace = { readonly directory: string } | { readonly inMemory: true };

/** @throws {DocumentsUnavailableError} the database cannot be opened or is none */
export async function openEmbeddedDocuments(place: EmbeddedDocumentsPlace): Promise<EmbeddedDocuments> {
  const inMemory = "inMemory" in place;
  if (!inMemory) await mkdir(place.directory, { recursive: true });
  const path = inMemory ? ":memory:" : join(place.directory, "documents.sqlite");

  await using starting = new AsyncDisposableStack();
  // The writer creates the file, and is the last to close it, because what it wrote must be merged into the file at the end.
  const writer = starting.use(await startStoreThread({ path, role: "writer" }));
  const loader = inMemory ? undefined : starting.use(await startStoreThread({ path, role: "loader" }));
  const finder = inMemory ? undefined : starting.use(await startStoreThread({ path, role: "finder" }));
  const threads = starting.move();
  const all = [writer, loader, finder].filter((each) => each !== undefined);
  // None goes on without the others.
  void Promise.race(all.map(({ ended }) => ended)).then(() => threads.disposeAsync());
  const failed = Promise.race(all.map((each) => each.failed));
  failed.catch(() => undefined);

  const connect = () => {
    const { port1, port2 } = new MessageChannel();
    const introduction: Introduction = { writer: writer.connect(), loader: loader?.connect(), finder: finder?.connect() };
    port1.postMessage(
      introduction,
      Object.values(introduction).filter((each) => each !== undefined),
    );
    return port2;
  };
  const documents = connectEmbeddedDocuments(connect());
  return {
    ...documents,
    connect,
    failed,
    async [Symbol.asyncDispose]() {
      await documents[Symbol.asyncDispose]();
      await threads.disposeAsync();
      await writer.ended;
    },
  };
}

/** Disposing of it lets the thread finish what it has, and waits for its end. */
interface StoreThread extends AsyncDisposable {
  readonly ended: Promise<void>;
  readonly failed: Promise<never>;
  connect(): MessagePort;
}

async function startStoreThread(task: WorkerTask): Promise<StoreThread> {
  const thread = startThread(new URL("./worker.ts", import.meta.url), { workerData: task, name: `documents-${task.role}` });
  try {
    await thread.started;
  } catch (error) {
    await thread.ended;
    throw new DocumentsUnavailableError(`the documents in ${task.path} cannot be opened: ${String(error)}`);
  }
  const order = (message: WorkerOrder, transfer: MessagePort[] = []) => thread.worker.postMessage(message, transfer);
  return {
    ended: thread.ended,
    failed: thread.failed,
    connect() {
      const { port1, port2 } = new MessageChannel();
      order({ serve: port1 }, [port1]);
      return port2;
    },
    async [Symbol.asyncDispose]() {
      thread.expectEnd();
      order("close");
      await thread.ended;
    },
  };
}
