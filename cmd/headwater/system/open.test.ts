import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { serialize } from "node:v8";
import { expect, it, onTestFinished } from "vitest";
import { openEmbeddedDocuments } from "../../../internal/documents/embedded/open.ts";
import { openEmbeddedLog } from "../../../internal/log/embedded/open.ts";
import { parseConfig } from "../../../internal/platform/config.ts";
import { type FramedSocket, framedSocket } from "../../../internal/platform/framed-socket.ts";
import { allOptions, systemOptions } from "../../../internal/process/options.ts";
import { temporaryFolder } from "../../../test/support/dev-process.ts";
import { orderTopics } from "../../../test/support/order-domain.ts";
import { openDocuments, openLog, openSystem } from "./open.ts";
import { encodeHello, PROTOCOL, readAddress, writeAddress } from "./operator-protocol.ts";
import { startOperatorServer } from "./operator-server.ts";

const collection = { name: "orders.v1", indexes: [{ name: "status", fields: ["status"] }] };
const events = orderTopics.events.name;

it("a command uses the log and the documents of the process that has the folder open", async () => {
  const { directory, log } = await startRunning();
  await using system = await openSystem(valuesOf(directory));
  expect(system).toMatchObject({ kind: "embedded", log: { id: log.id, partitions: 4 } });
  const [offset] = await system.log.append([{ topic: events, partition: 1, key: "a", value: Uint8Array.of(1, 2) }]);
  expect([offset, await log.ends(events)]).toEqual([0, [0, 1, 0, 0]]);
  const write = { collection: collection.name, id: "a", expectedRevision: 0, applied: {}, fields: { status: "PAID" } };
  await system.documents.prepare([collection]);
  await system.documents.write([write], []);
  const found = await system.documents.find({ collection: collection.name, where: [], sort: [], limit: 1 });
  expect(found.documents).toMatchObject([{ id: "a", fields: { status: "PAID" } }]);
});

it("large pages come through, in order", async () => {
  const { directory, log } = await startRunning();
  const value = new Uint8Array(100_000).fill(7);
  await log.append(Array.from({ length: 200 }, (_, index) => ({ topic: events, partition: 0, key: String(index), value })));
  await using operator = await openLog(valuesOf(directory));
  const batches = await Array.fromAsync(
    await operator.tail({ topic: events, partition: 0, from: 0, to: 200, signal: new AbortController().signal }),
  );
  expect(batches.flat().map(({ key }) => Number(key))).toEqual(Array.from({ length: 200 }, (_, index) => index));
  expect(batches.flat().every((record) => record.value.length === value.length)).toBe(true);
});

it("a command refuses a namespace, whose topics it does not know", async () => {
  const args = ["--system", "kafka", "--namespace", "staging"];
  const values = parseConfig(systemOptions, { args, environment: {}, shared: allOptions });
  const refusal = /^--namespace \(HEADWATER_NAMESPACE\): operators' commands cannot look into a namespace yet/;
  await expect(openLog(values)).rejects.toThrow(refusal);
  await expect(openDocuments(values)).rejects.toThrow(refusal);
  await expect(openSystem(values)).rejects.toThrow(refusal);
});

it("where nobody runs, a command opens the folder itself", async () => {
  const { directory, stop } = await startRunning();
  await stop();
  expect(await readAddress(directory)).toBeUndefined();
  await using system = await openSystem(valuesOf(directory));
  expect(system.log.partitions).toBe(4);
});

it("the address that a killed process left behind does no harm", async () => {
  const { directory, stop } = await startRunning();
  await stop();
  const anotherServer = createServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(0, "127.0.0.1");
  await once(anotherServer, "listening");
  const { port } = anotherServer.address() as AddressInfo;
  for (const listening of [true, false]) {
    if (!listening) await once(anotherServer.close(), "close");
    await writeAddress(directory, { port, secret: "old" });
    await using log = await openLog(valuesOf(directory));
    expect(log.partitions).toBe(4);
  }
  await writeFile(join(directory, "operator.json"), "{");
  await using log = await openLog(valuesOf(directory));
  expect(log.partitions).toBe(4);
});

it("only who may read the folder's file learns the secret", async () => {
  const { directory } = await startRunning();
  const file = join(directory, "operator.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const { secret } = JSON.parse(await readFile(file, "utf8")) as { readonly secret: string };
  expect(secret).toMatch(/^[0-9a-f]{64}$/);
});

it("a wrong secret and garbage end their connection and nothing else", async () => {
  const { directory } = await startRunning();
  await using operator = await openLog(valuesOf(directory));
  const { port, secret } = (await readAddress(directory)) ?? { port: 0, secret: "" };
  const hello = encodeHello({ secret, protocol: PROTOCOL, part: "documents" });
  const bad: readonly ((socket: FramedSocket) => void)[] = [
    (socket) => socket.send(encodeHello({ secret: "wrong", protocol: PROTOCOL, part: "log" })),
    (socket) => socket.send(Buffer.from("no JSON")),
    (socket) => socket.send(Buffer.from("null")),
    (socket) => socket.send(Buffer.alloc(100_000)),
    ...[
      Buffer.from("garbage"),
      serialize("no message"),
      serialize([7, []]),
      serialize([0, null]),
      serialize([0, [1, "no such call", null]]),
      serialize([0, [1, "constructor", null]]),
    ].map((frame) => (socket: FramedSocket) => {
      socket.send(hello);
      socket.send(frame);
    }),
  ];
  for (const send of bad) {
    const socket = framedSocket(connect({ port, host: "127.0.0.1" }));
    send(socket);
    await socket.closed;
  }
  const length = connect({ port, host: "127.0.0.1" });
  length.on("error", () => undefined).write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1]));
  await once(length, "close");
  expect(await operator.ends(events)).toEqual([0, 0, 0, 0]);
});

it("a running system of another version is named, and not used", async () => {
  const { directory } = await startRunning();
  const server = createServer((socket) => framedSocket(socket).send(encodeHello({ protocol: PROTOCOL + 1 }))).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  await writeAddress(directory, { port: (server.address() as AddressInfo).port, secret: "new" });
  await expect(openLog(valuesOf(directory))).rejects.toThrow("is of another version than this command; restart it");
});

it("a command that goes away leaves its groups", async () => {
  const { directory, log } = await startRunning();
  const operator = await openLog(valuesOf(directory));
  const member = await operator.consume({ group: "group", topic: events, instance: "operator" });
  void member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 60_000 }).catch(() => undefined);
  void member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 60_000 }).catch(() => undefined);
  await expect.poll(() => log.members("group")).toEqual([{ instance: "operator", partitions: [0, 1, 2, 3] }]);
  await operator[Symbol.asyncDispose]();
  await expect.poll(() => log.members("group")).toEqual([]);
});

it("a system that stops ends the calls of those who are connected", async () => {
  const { directory, stop } = await startRunning();
  await using operator = await openLog(valuesOf(directory));
  await stop();
  await expect(operator.ends(events)).rejects.toThrow("the embedded log is closed");
});

it("a folder that is not there is refused with the option that names it, and not created", async () => {
  await using folder = await temporaryFolder();
  const directory = join(folder.path, "nowhere");
  await expect(openSystem(valuesOf(directory))).rejects.toThrow(/there is no log in .*nowhere: --data \(HEADWATER_DATA\)/);
  expect(existsSync(directory)).toBe(false);
});

function valuesOf(directory: string) {
  return parseConfig(systemOptions, { args: ["--data", directory], environment: {}, shared: allOptions });
}

/** What `headwater dev` opens in its folder, and where operators reach it. */
async function startRunning() {
  const folder = await temporaryFolder();
  const stack = new AsyncDisposableStack();
  const stop = () => stack.disposeAsync();
  onTestFinished(async () => {
    await stop();
    await folder[Symbol.asyncDispose]();
  });
  const directory = folder.path;
  const log = stack.use(await openEmbeddedLog({ directory, partitions: 4, topics: Object.values(orderTopics) }));
  const documents = stack.use(await openEmbeddedDocuments({ directory }));
  stack.use(await startOperatorServer(directory, { log, documents }));
  return { directory, log, stop };
}
