/** A thread that uses an embedded store through a port and offers all of it to the test's thread. */

import { type MessagePort, workerData } from "node:worker_threads";
import type { Checkpoint, Collection, DocumentWrite, Find, Page, StoredDocument, WriteConflict } from "../../cqrs/documents.ts";
import { type PortRequest, servePort } from "../../platform/port-rpc.ts";
import { connectEmbeddedDocuments } from "./connect.ts";
import type { LoadArgument } from "./protocol.ts";

export interface RemoteTask {
  readonly store: MessagePort;
  readonly test: MessagePort;
}

export interface RemoteMethods {
  prepare(collections: readonly Collection[]): void;
  drop(collections: readonly string[]): void;
  load(argument: LoadArgument): readonly (StoredDocument | undefined)[];
  write(argument: { readonly writes: readonly DocumentWrite[]; readonly checkpoints: readonly Checkpoint[] }): readonly WriteConflict[];
  find(query: Find): Page;
  checkpoints(collection: string): readonly Checkpoint[];
  watch(argument: null): void;
  dispose(argument: null): void;
}

const task = workerData as RemoteTask;
const documents = connectEmbeddedDocuments(task.store);
let watching: Promise<void> | undefined;
const server = servePort<RemoteMethods, readonly Checkpoint[]>(task.test, (requests) => {
  for (const request of requests) answer(request).catch((error: unknown) => request.fail(error));
});

async function answer(request: PortRequest<RemoteMethods>): Promise<void> {
  switch (request.method) {
    case "prepare":
      return request.answer(await documents.prepare(request.argument));
    case "drop":
      return request.answer(await documents.drop(request.argument));
    case "load":
      return request.answer(await documents.load(request.argument.collection, request.argument.ids, request.argument.maxBytes));
    case "write":
      return request.answer(await documents.write(request.argument.writes, request.argument.checkpoints));
    case "find":
      return request.answer(await documents.find(request.argument));
    case "checkpoints":
      return request.answer(await documents.checkpoints(request.argument));
    case "watch":
      watching ??= documents.watchCheckpoints((checkpoints) => server.push(checkpoints), new AbortController().signal);
      return request.answer(await watching);
    case "dispose":
      return request.answer(await documents[Symbol.asyncDispose]());
  }
}
