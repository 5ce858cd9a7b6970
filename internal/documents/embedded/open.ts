/** Opens an embedded document store: SQLite in worker threads, so that its synchronous calls never hold up the thread that asks. */

import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { connectEmbeddedDocuments } from "./connect.ts";
import type { Introduction, WorkerOrder, WorkerTask } from "./protocol.ts";

export interface EmbeddedDocuments extends Documents {
  /** A port to give to another thread, for {@link connectEmbeddedDocuments}. Disposing of the store disconnects it. */
  connect(): MessagePort;
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
  const writer = starting.use(await startThread({ path, role: "writer" }));
  const reader = inMemory ? undefined : starting.use(await startThread({ path, role: "reader" }));
  const threads = starting.move();
  // Neither goes on without the other.
  void Promise.race([writer.exited, reader?.exited ?? writer.exited]).then(() => threads.disposeAsync());

  const connect = () => {
    const { port1, port2 } = new MessageChannel();
    const introduction: Introduction = { writer: writer.connect(), reader: reader?.connect() };
    port1.postMessage(introduction, [introduction.writer, ...(introduction.reader === undefined ? [] : [introduction.reader])]);
    return port2;
  };
  const documents = connectEmbeddedDocuments(connect());
  return {
    ...documents,
    connect,
    async [Symbol.asyncDispose]() {
      await documents[Symbol.asyncDispose]();
      await threads.disposeAsync();
      await writer.exited;
    },
  };
}

/** Disposing of it lets the thread finish what it has, and waits for its end. */
interface Thread extends AsyncDisposable {
  readonly exited: Promise<void>;
  connect(): MessagePort;
}

async function startThread(task: WorkerTask): Promise<Thread> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: task, name: `documents-${task.role}` });
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  try {
    await once(worker, "message");
  } catch (error) {
    await exited;
    throw new DocumentsUnavailableError(`the documents in ${task.path} cannot be opened: ${String(error)}`);
  }
  // A thread that fails closes its ports, and so its clients learn that it is gone; why, they do not.
  worker.on("error", (error) => process.emitWarning(error as Error));
  const order = (message: WorkerOrder, transfer: MessagePort[] = []) => worker.postMessage(message, transfer);
  return {
    exited,
    connect() {
      const { port1, port2 } = new MessageChannel();
      order({ serve: port1 }, [port1]);
      return port2;
    },
    async [Symbol.asyncDispose]() {
      order("close");
      await exited;
    },
  };
}
