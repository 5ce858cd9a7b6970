import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MongoServer, startMongo } from "../../../test/support/mongo-server.ts";
import { mongo } from "../../../test/support/servers.ts";
import { resetMoments, startTcpProxy } from "../../../test/support/tcp-proxy.ts";
import { type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { connectMongoDocuments, type MongoDocuments } from "./connect.ts";

const orders = { name: "orders.v1", indexes: [{ name: "status", fields: ["status"] }] };

/** More than a socket takes at once, so that a reset finds the driver still writing. */
const LARGE = "x".repeat(4 * 1024 * 1024);

const write = (id: string, expectedRevision: number) => ({
  collection: orders.name,
  id,
  expectedRevision,
  applied: { stream: { 0: 1 } },
  fields: { status: "PAID", text: LARGE },
});
const checkpoint = { collection: orders.name, stream: "stream", partition: 0, nextOffset: 1, sequence: 1, eventTimeMs: 0, proof: "" };

/** Every call of the port with every request that it makes of the server. */
const calls: readonly (readonly [name: string, request: string, call: (documents: MongoDocuments) => Promise<unknown>])[] = [
  ["prepare", "listIndexes", (documents) => documents.prepare([orders])],
  ["prepare", "createIndexes", (documents) => documents.prepare([{ ...orders, indexes: [{ name: "other", fields: ["other"] }] }])],
  ["missingIndexes", "listIndexes", (documents) => documents.missingIndexes([orders])],
  ["drop", "delete", (documents) => documents.drop(["gone.v1"])],
  ["drop", "drop", (documents) => documents.drop(["gone.v1"])],
  ["load", "find", (documents) => documents.load(orders.name, ["a"])],
  ["find", "find", (documents) => documents.find({ collection: orders.name, where: [], sort: [], limit: 1 })],
  ["checkpoints", "find", (documents) => documents.checkpoints(orders.name)],
  ["write of a new document", "insert", (documents) => documents.write([write("new", 0)], [])],
  ["write of a document", "update", (documents) => documents.write([write("a", 1)], [])],
  ["write of a checkpoint", "update", (documents) => documents.write([], [checkpoint])],
  ["watchCheckpoints", "ping", (documents) => documents.watchCheckpoints(() => undefined, new AbortController().signal)],
];

describe.skipIf(mongo?.kind !== "program")("a connection that is reset", () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  describe.each(resetMoments)("%s", (moment) => {
    it.concurrent.each(calls)("is an outage to %s (%s), and the next call succeeds", async (name, request, call) => {
      await using proxy = await startTcpProxy(new URL(server.uri).host);
      const database = `${name}-${request}-${moment}`.replaceAll(/\W/g, "-");
      await using documents = await connectMongoDocuments({ uri: `mongodb://${proxy.address}/?directConnection=true`, database });
      await documents.prepare([orders]);
      await documents.write([{ ...write("a", 0), fields: { status: "NEW" } }], []);

      proxy.resetAt({ request, moment });
      await expect(call(documents)).rejects.toThrow(DocumentsUnavailableError);
      expect(proxy.struck).toBeGreaterThan(0);
      proxy.resetAt(undefined);
      await untilReached(() => call(documents));
    });
  });

  it.concurrent.each(resetMoments)("%s is an outage to who opens the documents", async (moment) => {
    await using proxy = await startTcpProxy(new URL(server.uri).host);
    proxy.resetAt({ request: "helloOk", moment });
    const opening = connectMongoDocuments({ uri: `mongodb://${proxy.address}/?directConnection=true`, database: "open" });
    await expect(opening).rejects.toThrow(DocumentsUnavailableError);
    expect(proxy.struck).toBeGreaterThan(0);
  });

  it("is none of a watch's business, which goes on with what was written meanwhile", async () => {
    await using proxy = await startTcpProxy(new URL(server.uri).host);
    const database = "watch";
    const uri = `mongodb://${proxy.address}/?directConnection=true`;
    await using watching = await connectMongoDocuments({ uri, database });
    await using writing = await connectMongoDocuments({ uri: server.uri, database });
    const seen = new Set<number>();
    const listener: Parameters<Documents["watchCheckpoints"]>[0] = (checkpoints) =>
      checkpoints.forEach(({ sequence }) => seen.add(sequence));
    await watching.watchCheckpoints(listener, new AbortController().signal);
    for (const [index, moment] of resetMoments.entries()) {
      proxy.resetAt({ request: "getMore", moment });
      const before = proxy.struck;
      const sequence = index + 1;
      // An idle watch asks again once a second, or gets an answer by this.
      await writing.write([], [{ ...checkpoint, nextOffset: sequence, sequence }]);
      await expect.poll(() => proxy.struck, { timeout: 30_000 }).toBeGreaterThan(before);
      proxy.resetAt(undefined);
      await expect.poll(() => seen, { timeout: 30_000 }).toContain(sequence);
    }
  });
});

/** The driver has to find its server again; that takes it a few heartbeats. */
async function untilReached(call: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await call();
      return;
    } catch (error) {
      if (!(error instanceof DocumentsUnavailableError) || Date.now() > deadline) throw error;
    }
  }
}
