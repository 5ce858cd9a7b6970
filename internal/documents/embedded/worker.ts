/**
 * A thread of the document store. One writes; if the documents are in a file, another loads and a third finds, so that neither a batch of the
 * projector nor a search delays those who ask for documents by their ids. Requests that wait when a transaction begins share it.
 */

import { parentPort, workerData } from "node:worker_threads";
import { type Checkpoint, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { type PortRequest, type PortServer, servePort } from "../../platform/port-rpc.ts";
import { isDamage } from "../../platform/sqlite-copy.ts";
import type { WorkerOrder, WorkerTask, WriterMethods } from "./protocol.ts";
import { markDamaged, openStore, type Store } from "./store.ts";

type Request = PortRequest<WriterMethods>;
type Server = PortServer<readonly Checkpoint[]>;

if (parentPort === null) throw new Error("this module is started as a worker thread");
const owner = parentPort;
const { path, role } = workerData as WorkerTask;
const store = openStore({ path, readOnly: role !== "writer" });
const servers = new Set<Server>();
const watchers = new Set<Server>();
let waiting: Request[] = [];

owner.on("message", (order: WorkerOrder) => {
  if (order === "close") close();
  else serve(order);
});
owner.postMessage("ready");

function serve({ serve: port }: Exclude<WorkerOrder, "close">) {
  const server: Server = servePort<WriterMethods, readonly Checkpoint[]>(
    port,
    (requests) => {
      for (const request of requests) {
        if (request.method === "watch") watchers.add(server);
        // An immediate, so that the requests of all ports come together.
        if (waiting.push(request) === 1) setImmediate(answerWaiting);
      }
    },
    () => {
      servers.delete(server);
      watchers.delete(server);
    },
  );
  servers.add(server);
}

function answerWaiting() {
  const requests = waiting;
  waiting = [];
  if (requests.length > 0) answerTogether(requests);
}

/** Answers requests in one transaction. If one fails, each has its own, so that no request fails for the fault of another. */
function answerTogether(requests: readonly Request[]) {
  let answers: readonly (() => void)[];
  const advanced = new Map<string, Checkpoint>();
  try {
    answers = store.transaction(() => requests.map((request) => execute(store, request, advanced)));
  } catch (error) {
    const [request, ...others] = requests;
    if (others.length === 0) request?.fail(portError(error));
    else for (const alone of requests) answerTogether([alone]);
    return;
  }
  for (const answer of answers) answer();
  if (advanced.size > 0) for (const watcher of watchers) watcher.push([...advanced.values()]);
}

/** Does what is asked and returns what is left to do after the commit. */
function execute(documents: Store, request: Request, advanced: Map<string, Checkpoint>): () => void {
  switch (request.method) {
    case "prepare":
      documents.prepare(request.argument);
      return () => request.answer();
    case "drop":
      documents.drop(request.argument);
      return () => request.answer();
    case "load": {
      const { collection, ids, maxBytes } = request.argument;
      const rows = documents.load(collection, ids, maxBytes);
      return () => request.answer(rows);
    }
    case "find": {
      const page = documents.find(request.argument);
      return () => request.answer(page);
    }
    case "checkpoints": {
      const checkpoints = documents.checkpoints(request.argument);
      return () => request.answer(checkpoints);
    }
    case "write": {
      const { writes, checkpoints } = request.argument;
      const conflicts = documents.write(writes, checkpoints);
      const written = conflicts.length === 0 ? checkpoints : [];
      for (const { expectedOffset: _, ...checkpoint } of written) {
        advanced.set(`${checkpoint.partition}/${checkpoint.stream}/${checkpoint.collection}`, checkpoint);
      }
      return () => request.answer(conflicts);
    }
    case "watch":
      return () => request.answer();
  }
}

/** What SQLite says of a document that is no JSON: all that was written is. */
const NO_JSON = /^malformed JSON/;

/** What SQLite cannot do now, such as to write to a full disk, is the store's state and not the caller's fault. */
function portError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (isDamage(error) || NO_JSON.test(error.message)) return endDamaged(error);
  if (!("errcode" in error)) return error;
  return new DocumentsUnavailableError(`the documents in ${path} cannot be read or written: ${error.message}`);
}

/** What is damaged stays so until the file is made again, which nobody may have open. */
function endDamaged({ message }: Error): Error {
  markDamaged(path);
  const damage = new DocumentsUnavailableError(`${path} is damaged (${message}): at the next start it is made again from the log`);
  // When those who asked have been told.
  setImmediate(() => {
    throw damage;
  });
  return damage;
}

function close() {
  answerWaiting();
  for (const server of servers) server.close();
  store.close();
  owner.close();
}
