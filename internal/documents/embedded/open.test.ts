import { execFile } from "node:child_process";
import { mkdtemp, open as openFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { type Checkpoint, type Documents, DocumentsSetBackError, DocumentsUnavailableError, SortKeyError } from "../../cqrs/documents.ts";
import { describeDocuments } from "../../cqrs/testing/documents-contract.ts";
import type { DocumentsUnderTest } from "../../cqrs/testing/documents-contract-support.ts";
import { createPortClient } from "../../platform/port-rpc.ts";
import { connectEmbeddedDocuments } from "./connect.ts";
import { type EmbeddedDocuments, openEmbeddedDocuments } from "./open.ts";
import type { Introduction } from "./protocol.ts";
import type { RemoteMethods, RemoteTask } from "./remote.fixture.ts";

/** The first page of the file describes the tables; the others hold what is in them. */
const pageBytes = 4096;

const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "headwater-documents-"));
  directories.push(directory);
  return directory;
}

describeDocuments("embedded documents in memory", async () => underTest(await openEmbeddedDocuments({ inMemory: true })));

describeDocuments("embedded documents in a directory", async () => {
  const directory = await mkdtemp(join(tmpdir(), "headwater-documents-"));
  return underTest(await openEmbeddedDocuments({ directory }), directory);
});

describeDocuments("embedded documents used from another thread", async () => {
  const store = await openEmbeddedDocuments({ inMemory: true });
  return { ...underTest(store), documents: remoteDocuments(store) };
});

function underTest(documents: EmbeddedDocuments, directory?: string): DocumentsUnderTest {
  let store = documents;
  const reopenIn = async (place: string) => {
    await store[Symbol.asyncDispose]();
    store = await openEmbeddedDocuments({ directory: place });
    return store;
  };
  return {
    documents,
    connect: async () => connectEmbeddedDocuments(store.connect()),
    ...(directory === undefined ? {} : { reopen: () => reopenIn(directory) }),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      if (directory !== undefined) await rm(directory, { recursive: true });
    },
  };
}

/** The store as a thread sees it that got a port from its opener. The thread ends with the store. */
function remoteDocuments(documents: EmbeddedDocuments): Documents {
  const { port1, port2 } = new MessageChannel();
  const task: RemoteTask = { store: documents.connect(), test: port2 };
  const thread = new Worker(new URL("./remote.fixture.ts", import.meta.url), { workerData: task, transferList: [task.store, port2] });
  thread.unref();
  port1.unref();
  const closedError = () => new DocumentsUnavailableError("the thread has ended");
  const client = createPortClient<RemoteMethods, readonly Checkpoint[]>(port1, {
    errors: { DocumentsSetBackError, SortKeyError },
    closedError,
  });
  const listeners = new Set<(checkpoints: readonly Checkpoint[]) => void>();
  client.onPush((checkpoints) => listeners.forEach((listener) => listener(checkpoints)));
  return {
    guarantees: documents.guarantees,
    prepare: (collections) => client.call("prepare", collections),
    drop: (collections) => client.call("drop", collections),
    load: (collection, ids, maxBytes) => client.call("load", { collection, ids, maxBytes }),
    write: (writes, checkpoints) => client.call("write", { writes, checkpoints }),
    find: (query) => client.call("find", query),
    checkpoints: (collection) => client.call("checkpoints", collection),
    watchCheckpoints(listener, signal, prefix = "") {
      const own = (checkpoints: readonly Checkpoint[]) =>
        listener(
          checkpoints.filter(({ collection }) => collection.startsWith(prefix)),
          false,
        );
      listeners.add(own);
      signal.addEventListener("abort", () => listeners.delete(own));
      return client.call("watch", null);
    },
    [Symbol.asyncDispose]: () => client.call("dispose", null),
  };
}

describe.each(["memory", "directory"])("an embedded store in %s", (place) => {
  const open = async () => openEmbeddedDocuments(place === "memory" ? { inMemory: true } : { directory: await newDirectory() });
  const write = { collection: "orders.v1", id: "a", expectedRevision: 0, applied: {}, fields: { a: 1 } };

  it("answers what was asked before it was closed, and nothing after", async () => {
    const documents = await open();
    const connection = connectEmbeddedDocuments(documents.connect());
    await documents.prepare([{ name: "orders.v1", indexes: [] }]);
    const due = [documents.write([write], []), documents.load("orders.v1", ["b"])];
    await documents[Symbol.asyncDispose]();
    expect(await Promise.all(due)).toEqual([[], [undefined]]);
    for (const each of [documents, connection]) {
      await expect(each.load("orders.v1", ["a"])).rejects.toThrow(DocumentsUnavailableError);
      await expect(each.write([write], [])).rejects.toThrow(DocumentsUnavailableError);
      await expect(each.find({ collection: "orders.v1", where: [], sort: [], limit: 1 })).rejects.toThrow(DocumentsUnavailableError);
      await each[Symbol.asyncDispose]();
    }
  });

  it("rejects what waits and what comes when its thread has died", async () => {
    await using documents = await open();
    const port = documents.connect();
    const introduction = receiveMessageOnPort(port)?.message as Introduction | undefined;
    port.close();
    // No client sends this; the thread dies of it, as of any defect.
    introduction?.writer.postMessage(null);
    await expect(untilRejected(() => documents.write([], []))).resolves.toBeInstanceOf(DocumentsUnavailableError);
    await expect(untilRejected(() => documents.load("orders.v1", []))).resolves.toBeInstanceOf(DocumentsUnavailableError);
  });

  it("refuses one bad request and answers the others of the same transaction", async () => {
    await using documents = await open();
    await documents.prepare([{ name: "orders.v1", indexes: [] }]);
    const good = documents.write([write], []);
    const bad = documents.write([{ ...write, collection: "unknown.v1" }], []);
    const last = documents.write([{ ...write, id: "b" }], []);
    await expect(bad).rejects.toThrow("unknown.v1");
    expect(await Promise.all([good, last])).toEqual([[], []]);
    expect(await documents.load("orders.v1", ["a", "b"])).toMatchObject([{ revision: 1 }, { revision: 1 }]);
  });

  it("refuses names of fields that could be more than names", async () => {
    await using documents = await open();
    const field = "a') --";
    await expect(documents.prepare([{ name: "orders.v1", indexes: [{ name: "bad", fields: [field] }] }])).rejects.toThrow(TypeError);
    await documents.prepare([{ name: "orders.v1", indexes: [] }]);
    const query = { collection: "orders.v1", where: [{ field, op: "eq", value: 1 } as const], sort: [], limit: 1 };
    await expect(documents.find(query)).rejects.toThrow(TypeError);
  });
});

it.each(["what is no database", "what has other tables"])("%s is made again, since its documents are in the log", async (what) => {
  const directory = await newDirectory();
  const path = join(directory, "documents.sqlite");
  if (what === "what is no database") await writeFile(path, "no database".repeat(1000));
  else {
    using other = new DatabaseSync(path);
    other.exec("CREATE TABLE checkpoints (collection TEXT)");
  }
  await using documents = await openEmbeddedDocuments({ directory });
  await documents.prepare([{ name: "orders.v1", indexes: [] }]);
  expect(await documents.load("orders.v1", ["a"])).toEqual([undefined]);
  expect(await documents.checkpoints("orders.v1")).toEqual([]);
});

it.each(["load", "find"] as const)("what a %s finds damaged ends the store, and is made again by who opens it next", async (method) => {
  const directory = await newDirectory();
  const orders = { name: "orders.v1", indexes: [] };
  const writes = Array.from({ length: 100 }, (_, index) => {
    return { collection: orders.name, id: `o-${index}`, expectedRevision: 0, applied: {}, fields: { text: "x".repeat(1_000) } };
  });
  {
    await using documents = await openEmbeddedDocuments({ directory });
    await documents.prepare([orders]);
    await documents.write(writes, []);
    await damage(join(directory, "documents.sqlite"));
    const call = {
      load: () => documents.load(orders.name, ["o-99"]),
      find: () => documents.find({ collection: orders.name, where: [], sort: [], limit: 100 }),
    }[method];
    const ended = documents.failed.catch((error: unknown) => error);
    const refused = await untilRejected(call);
    expect(refused).toBeInstanceOf(DocumentsUnavailableError);
    expect(String(refused)).toMatch(/documents\.sqlite is damaged \(.+\): at the next start it is made again from the log/);
    expect(String(await ended)).toContain("documents.sqlite is damaged");
    await expect(untilRejected(() => documents.load(orders.name, ["o-1"]))).resolves.toBeInstanceOf(DocumentsUnavailableError);
  }
  await using documents = await openEmbeddedDocuments({ directory });
  await documents.prepare([orders]);
  expect(await documents.load(orders.name, ["o-1"])).toEqual([undefined]);
  expect(await documents.write(writes, [])).toEqual([]);
});

const aDocument = '"documents:orders.v1"';

it.each<[what: string, sql: string, call: (documents: EmbeddedDocuments) => Promise<unknown>]>([
  ["the revision of a document", `UPDATE ${aDocument} SET revision = 3`, loadOne],
  ["what is applied to it", `UPDATE ${aDocument} SET applied = '{"s":{"0":2}}'`, loadOne],
  ["one of its fields", `UPDATE ${aDocument} SET fields = '{"total":2}'`, loadOne],
  ["one of its fields, when it is found", `UPDATE ${aDocument} SET fields = '{"total":2}'`, findAll],
  ["all of its fields", `UPDATE ${aDocument} SET fields = x'00'`, loadOne],
  ["its place, when it is found", `UPDATE ${aDocument} SET id = 'o-2'`, findAll],
  ["its text, which is no JSON any more", `UPDATE ${aDocument} SET fields = '{"total":1'`, loadOne],
  ["such a text, when it is looked through", `UPDATE ${aDocument} SET fields = '{"total":1'`, findByTotal],
  ["its checksum", `UPDATE ${aDocument} SET checksum = checksum + 1`, loadOne],
  ["the offset of a checkpoint", "UPDATE checkpoints SET next_offset = 9", (documents) => documents.checkpoints("orders.v1")],
  ["the sequence of a checkpoint", "UPDATE checkpoints SET sequence = 9", (documents) => documents.checkpoints("orders.v1")],
  ["the time of a checkpoint", "UPDATE checkpoints SET event_time_ms = 9", (documents) => documents.checkpoints("orders.v1")],
  ["the proof of a checkpoint", "UPDATE checkpoints SET proof = 'b'", (documents) => documents.checkpoints("orders.v1")],
])("a change of %s is damage, although SQLite sees none", async (_what, sql, call) => {
  const directory = await newDirectory();
  const checkpoint = { collection: "orders.v1", stream: "s", partition: 0, nextOffset: 1, sequence: 1, eventTimeMs: 1, proof: "a" };
  const write = { collection: "orders.v1", id: "o-1", expectedRevision: 0, applied: { s: { 0: 1 } }, fields: { total: 1 } };
  {
    await using documents = await openEmbeddedDocuments({ directory });
    await documents.prepare([{ name: "orders.v1", indexes: [] }]);
    await documents.write([write], [checkpoint]);
    await call(documents);
    const ended = documents.failed.catch((error: unknown) => error);
    using other = new DatabaseSync(join(directory, "documents.sqlite"));
    other.exec(sql);
    other.close();
    await expect(call(documents)).rejects.toThrow(/documents\.sqlite is damaged \(.+\): at the next start it is made again/);
    expect(String(await ended)).toContain("documents.sqlite is damaged");
  }
  await using documents = await openEmbeddedDocuments({ directory });
  await documents.prepare([{ name: "orders.v1", indexes: [] }]);
  expect(await documents.load("orders.v1", ["o-1"])).toEqual([undefined]);
});

function loadOne(documents: EmbeddedDocuments) {
  return documents.load("orders.v1", ["o-1"]);
}

function findAll(documents: EmbeddedDocuments) {
  return documents.find({ collection: "orders.v1", where: [], sort: [], limit: 1 });
}

function findByTotal(documents: EmbeddedDocuments) {
  return documents.find({ collection: "orders.v1", where: [{ field: "total", op: "eq", value: 1 }], sort: [], limit: 1 });
}

it("a document is loaded while others are looked for", async () => {
  await using documents = await openEmbeddedDocuments({ directory: await newDirectory() });
  const collection = "orders.v1";
  await documents.prepare([{ name: collection, indexes: [] }]);
  const fields = { text: "x".repeat(200) };
  const ids = Array.from({ length: 2_000 }, (_, index) => `o-${index}`);
  await documents.write(
    ids.map((id) => ({ collection, id, expectedRevision: 0, applied: {}, fields })),
    [],
  );
  const answered: string[] = [];
  const note = (what: string) => () => void answered.push(what);
  // Each looks at all of them.
  const where = [{ field: "text", op: "eq", value: "y" } as const];
  const finds = Array.from({ length: 200 }, () => documents.find({ collection, where, sort: [], limit: 1 }).then(note("find")));
  const load = documents.load(collection, ["o-1"]).then(note("load"));
  await Promise.all([...finds, load]);
  expect(answered.at(-1)).toBe("find");
});

it("a port is used for one connection", async () => {
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  const port = documents.connect();
  await using _connection = connectEmbeddedDocuments(port);
  expect(() => connectEmbeddedDocuments(port)).toThrow(TypeError);
});

it("a store that was closed does not keep its process alive", async () => {
  const directory = await newDirectory();
  const script = join(directory, "script.mjs");
  const program = `
    import { openEmbeddedDocuments } from ${JSON.stringify(new URL("./open.ts", import.meta.url))};
    for (const place of [{ inMemory: true }, { directory: ${JSON.stringify(directory)} }]) {
      const documents = await openEmbeddedDocuments(place);
      await documents.watchCheckpoints(() => {}, new AbortController().signal);
      await documents[Symbol.asyncDispose]();
    }
    console.log("closed");`;
  await writeFile(script, program);
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 30_000 });
  expect(stdout).toBe("closed\n");
});

/** Overwrites all but the first page of a database that is open, and what has not been merged into it yet. */
async function damage(path: string): Promise<void> {
  for (const file of [path, `${path}-wal`]) {
    await using handle = await openFile(file, "r+");
    const { size } = await handle.stat();
    if (size > pageBytes) await handle.write(Buffer.alloc(size - pageBytes, 0xee), 0, size - pageBytes, pageBytes);
  }
}

/** Calls until one is rejected, which is then the answer to a call that waited or to one that came too late. */
async function untilRejected(call: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    try {
      await call();
    } catch (error) {
      return error;
    }
  }
}
