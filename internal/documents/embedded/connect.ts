/** The document port over message ports to the threads of an embedded store. */

import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import {
  type Applied,
  type Checkpoint,
  type CheckpointListener,
  type Documents,
  DocumentsSetBackError,
  DocumentsUnavailableError,
  type DocumentValue,
  type DocumentWrite,
  type Fields,
  type Find,
  type SortKey,
  SortKeyError,
  type StoredDocument,
} from "../../cqrs/documents.ts";
import { createPortClient } from "../../platform/port-rpc.ts";
import type { Introduction, ReaderMethods, Row, RowWrite, WriterMethods } from "./protocol.ts";

/** Connects a thread to an embedded store through a port that its opener gave away. Disposing of the connection leaves the store open. */
export function connectEmbeddedDocuments(port: MessagePort): Documents {
  return documentsOverPorts(introductionAt(port));
}

/** The ports to the threads of a store, in place of the one that its opener gave away: of the writer, the loader and the finder. */
export function portsOfDocuments(port: MessagePort): readonly MessagePort[] {
  const { writer, loader, finder } = introductionAt(port);
  return [writer, loader, finder].filter((each) => each !== undefined);
}

function introductionAt(port: MessagePort): Introduction {
  // The introduction was sent before the port was given away, so it is here.
  const introduction = receiveMessageOnPort(port)?.message as Introduction | undefined;
  if (introduction === undefined) throw new TypeError("the port is not one that an embedded document store gave away, or was used before");
  port.close();
  return introduction;
}

/** The documents behind the ports of a store's threads. */
export function documentsOverPorts({ writer: writerPort, loader: loaderPort, finder: finderPort }: Introduction): Documents {
  const writer = createPortClient<WriterMethods, readonly Checkpoint[]>(writerPort, portOptions);
  const readerAt = (port: MessagePort | undefined) => (port === undefined ? writer : createPortClient<ReaderMethods>(port, portOptions));
  const [loader, finder] = [readerAt(loaderPort), readerAt(finderPort)];
  const listeners = new Set<CheckpointListener>();
  writer.onPush((checkpoints) => {
    for (const listener of listeners) listener(checkpoints, false);
  });

  return {
    // Its file is this process's alone, and only projectors remove what nobody reads any more.
    guarantees: { neverGoBack: true },
    prepare: (collections) => writer.call("prepare", collections),
    drop: (collections) => writer.call("drop", collections),
    async load(collection, ids, maxBytes) {
      const rows = await loader.call("load", { collection, ids, maxBytes });
      return rows.map((row) => row && documentOf(row));
    },
    async write(writes, checkpoints) {
      return writer.call("write", { writes: writes.map(rowWriteOf), checkpoints });
    },
    async find(query) {
      const { rows, hasMore } = await finder.call("find", query);
      const documents = rows.map(documentOf);
      const last = documents.at(-1);
      return last !== undefined && hasMore ? { documents, next: sortKeyOf(query, last) } : { documents };
    },
    checkpoints: (collection) => loader.call("checkpoints", collection),
    async watchCheckpoints(listener, signal, prefix = "") {
      if (signal.aborted) return;
      const own: CheckpointListener = (checkpoints, areAll) => {
        const wanted = checkpoints.filter(({ collection }) => collection.startsWith(prefix));
        if (wanted.length > 0) listener(wanted, areAll);
      };
      listeners.add(own);
      signal.addEventListener("abort", () => listeners.delete(own), { once: true });
      await writer.call("watch", null);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([writer.close(), loader.close(), finder.close()]);
    },
  };
}

const portOptions = {
  errors: { SortKeyError, DocumentsSetBackError, DocumentsUnavailableError, TypeError },
  closedError: () => new DocumentsUnavailableError("the document store is closed"),
};

function documentOf([id, revision, applied, fields]: Row): StoredDocument {
  return { id, revision, applied: JSON.parse(applied) as Applied, fields: JSON.parse(fields) as Fields };
}

function rowWriteOf({ collection, id, expectedRevision, applied, fields }: DocumentWrite): RowWrite {
  return { collection, row: [id, expectedRevision + 1, JSON.stringify(applied), JSON.stringify(fields)] };
}

function sortKeyOf({ sort }: Find, { id, fields }: StoredDocument): SortKey {
  return [...sort.map(({ field }) => valueAt(fields, field) as SortKey[number]), id];
}

function valueAt(fields: Fields, path: string): DocumentValue | undefined {
  let value: DocumentValue | undefined = fields;
  for (const name of path.split(".")) value = (value as Fields | undefined)?.[name];
  return value;
}
