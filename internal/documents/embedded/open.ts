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

  const writer = await startThread({ path, role: "writer" });
  // The writer has created the file by now. It is also the last to close it, because what it wrote must be merged into the file at the end.
  const reader = inMemory ? undefined : await startThread({ path, role: "reader" }, writer);
  // Neither goes on without the other.
  void writer.exited.then(() => reader?.close());
  void reader?.exited.then(() => writer.close());

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
      await reader?.close();
      await writer.close();
    },
  };
}

interface Thread {
  connect(): MessagePort;
  readonly exited: Promise<void>;
  /** Lets the thread finish what it has and waits for its end. */
  close(): Promise<void>;
}

/** Starts a thread. If it fails, it closes the one that was started before. */
async function startThread(task: WorkerTask, before?: Thread): Promise<Thread> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: task, name: `documents-${task.role}` });
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  // A thread that fails closes its ports, and so its clients learn of it.
  worker.on("error", () => {});
  try {
    await once(worker, "message");
  } catch (error) {
    await exited;
    await before?.close();
    throw new DocumentsUnavailableError(`the documents in ${task.path} cannot be opened: ${String(error)}`);
  }
  const order = (message: WorkerOrder, transfer: MessagePort[] = []) => worker.postMessage(message, transfer);
  return {
    connect() {
      const { port1, port2 } = new MessageChannel();
      order({ serve: port1 }, [port1]);
      return port2;
    },
    exited,
    async close() {
      order("close");
      await exited;
    },
  };
}
