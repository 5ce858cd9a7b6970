import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freeze } from "../../../test/support/freeze.ts";
import { type MongoServer, startMongo } from "../../../test/support/mongo-server.ts";
import { freePorts } from "../../../test/support/ports.ts";
import { mongo } from "../../../test/support/servers.ts";
import { type Checkpoint, type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { connectMongoDocuments } from "./connect.ts";

const partitions = 4;
const orders = { name: "orders.v1", indexes: [{ name: "writer", fields: ["writer"] }] };

// A server that somebody else runs cannot be killed.
describe.skipIf(mongo?.kind !== "program")("documents in a MongoDB that crashes", () => {
  let server: MongoServer;
  let database: string;
  let runs = 0;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());
  beforeEach(() => {
    database = `crash-${runs++}`;
  });
  const connect = () => connectMongoDocuments({ uri: server.uri, database });

  it("keeps what it acknowledged, in the middle of writes, and goes on", async () => {
    await using documents = await connect();
    await documents.prepare([orders]);
    const watched = createWatched();
    await documents.watchCheckpoints(watched.add, new AbortController().signal);
    const writers = Array.from({ length: partitions }, (_, partition) => startWriter(documents, partition));
    await Promise.all(writers.map((writer) => writer.reached(25)));
    await server.kill();
    await server.restart();
    await Promise.all(writers.map((writer) => writer.reached(writer.acknowledged() + 25)));
    const written = await Promise.all(writers.map((writer) => writer.stop()));
    await watched.until((seen) => written.every((last, partition) => (seen.get(partition) ?? 0) >= last));

    await using another = await connect();
    const checkpoints = await another.checkpoints(orders.name);
    for (const [partition, last] of written.entries()) {
      const ids = Array.from({ length: last }, (_, index) => idOf(partition, index + 1));
      const missing = (await another.load(orders.name, ids)).filter((document) => document?.revision !== 1);
      expect(missing).toEqual([]);
      expect(checkpoints.find((each) => each.partition === partition)?.sequence).toBe(last);
    }
  });

  it("says so while it is away, and a watch then learns of what was written before it was back", async () => {
    await using documents = await connect();
    await documents.write([write(0, 1)], [checkpoint(0, 1)]);
    const watched = createWatched();
    await documents.watchCheckpoints(watched.add, new AbortController().signal);
    await server.kill();
    const calls = [
      documents.load(orders.name, ["a"]),
      documents.find({ collection: orders.name, where: [], sort: [], limit: 1 }),
      documents.checkpoints(orders.name),
      documents.write([write(0, 2)], []),
      documents.write([], [checkpoint(0, 2)]),
      documents.prepare([orders]),
      documents.missingIndexes([orders]),
      documents.watchCheckpoints(() => undefined, new AbortController().signal),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(DocumentsUnavailableError) as unknown });
    }
    await server.restart();
    await using another = await connect();
    await another.write([write(0, 3)], [checkpoint(0, 3)]);
    await watched.until((seen) => seen.get(0) === 3);
    expect(await documents.load(orders.name, [idOf(0, 1)])).toMatchObject([{ revision: 1 }]);
  });

  it("tells a watch that was cut off for long what was written meanwhile", async () => {
    await using proxy = await startProxy(Number(new URL(server.uri).port));
    await using cutOff = await connectMongoDocuments({ uri: `mongodb://127.0.0.1:${proxy.port}/?directConnection=true`, database });
    await using documents = await connect();
    const watched = createWatched();
    await cutOff.watchCheckpoints(watched.add, new AbortController().signal);
    await documents.write([], [checkpoint(0, 1)]);
    await watched.until((seen) => seen.get(0) === 1);
    await proxy.cut();
    // When the second call gives up looking for a server, the driver's attempt to resume has given up, too.
    for (const _ of [1, 2]) await expect(cutOff.checkpoints(orders.name)).rejects.toThrow(DocumentsUnavailableError);
    await documents.write([], [checkpoint(0, 2)]);
    // A stream that begins anew begins with the last write that there is, and must not learn of the other from that.
    await documents.write([write(0, 3)], []);
    await proxy.mend();
    await watched.until((seen) => seen.get(0) === 2);
  });

  it("says so in bounded time if it hangs", async () => {
    await using documents = await connect();
    await freeze(server.pid);
    try {
      const calls = [documents.load(orders.name, ["a"]), documents.write([write(1, 1)], [])];
      for (const call of calls) call.catch(() => undefined);
      for (const call of calls) await expect(call).rejects.toThrow(DocumentsUnavailableError);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    await expect.poll(() => documents.load(orders.name, ["a"]), { timeout: 30_000 }).toEqual([undefined]);
  });

  it("says so if it is not there at all", async () => {
    const [port] = await freePorts(1);
    await expect(connectMongoDocuments({ uri: `mongodb://127.0.0.1:${port}`, database })).rejects.toThrow(DocumentsUnavailableError);
  });
});

function idOf(partition: number, sequence: number): string {
  return `${partition}/${sequence}`;
}

function write(partition: number, sequence: number) {
  return {
    collection: orders.name,
    id: idOf(partition, sequence),
    expectedRevision: 0,
    applied: { stream: { [partition]: sequence } },
    fields: { writer: partition },
  };
}

function checkpoint(partition: number, sequence: number): Checkpoint {
  return { collection: orders.name, stream: "stream", partition, nextOffset: sequence * 2, sequence, eventTimeMs: 0, proof: "" };
}

/** Writes one document after the other, each with its checkpoint, and repeats what was not acknowledged, as a projector does. */
function startWriter(documents: Documents, partition: number) {
  let acknowledged = 0;
  let stopped = false;
  let wake = (): void => undefined;
  const running = (async () => {
    while (!stopped) {
      const sequence = acknowledged + 1;
      try {
        const conflicts = await documents.write([write(partition, sequence)], []);
        // A conflict is a write that was done and not acknowledged.
        if (conflicts.length > 1) throw new Error("more conflicts than documents");
        await documents.write([], [checkpoint(partition, sequence)]);
        acknowledged = sequence;
        wake();
      } catch (error) {
        if (!(error instanceof DocumentsUnavailableError)) throw error;
      }
    }
  })();
  return {
    acknowledged: () => acknowledged,
    async reached(sequence: number) {
      while (acknowledged < sequence) await Promise.race([running, new Promise<void>((resolve) => (wake = resolve))]);
    },
    async stop() {
      stopped = true;
      await running;
      return acknowledged;
    },
  };
}

/** A way to the server that can be cut while others reach it. */
async function startProxy(target: number) {
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = createConnection(target, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.on("error", () => to.destroy()).on("close", () => sockets.delete(from));
      from.pipe(to);
    }
  });
  const [port = 0] = await freePorts(1);
  const mend = async () => void (await once(proxy.listen(port, "127.0.0.1"), "listening"));
  const cut = async () => {
    const closed = once(proxy, "close");
    proxy.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await mend();
  return { port, cut, mend, [Symbol.asyncDispose]: cut };
}

function createWatched() {
  const seen = new Map<number, number>();
  let wake = (): void => undefined;
  return {
    add(checkpoints: readonly Checkpoint[]) {
      for (const { partition, sequence } of checkpoints) seen.set(partition, sequence);
      wake();
    },
    async until(isReached: (seen: ReadonlyMap<number, number>) => boolean) {
      while (!isReached(seen)) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}
