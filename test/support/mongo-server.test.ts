import { MongoClient } from "mongodb";
import { describe, expect, it } from "vitest";
import { startMongo } from "./mongo-server.ts";
import { mongo } from "./servers.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

describe.skipIf(mongo?.kind !== "program")("a replica set of three", () => {
  it("has another primary when the first one is killed, and keeps what a majority has", async () => {
    await using stack = new AsyncDisposableStack();
    const advertise = async (address: string): Promise<string> => stack.use(await startTcpProxy(address)).address;
    await using server = await startMongo({ members: 3, advertise });
    await using client = new MongoClient(server.uri);
    const numbers = client.db("test").collection<{ readonly _id: number }>("numbers");
    await numbers.insertOne({ _id: 1 }, { writeConcern: { w: "majority" } });
    const first = await server.primary();
    await first?.kill();
    await expect.poll(() => server.primary()).not.toBeOneOf([first, undefined]);
    await numbers.insertOne({ _id: 2 }, { writeConcern: { w: "majority" } });
    await first?.restart();
    expect(await numbers.find().toArray()).toEqual([{ _id: 1 }, { _id: 2 }]);
  });

  it("is reached again when a proxy has reset the connections", async () => {
    await using stack = new AsyncDisposableStack();
    await using server = await startMongo({
      advertise: async (address) => {
        const proxy = stack.use(await startTcpProxy(address));
        resets.push(() => proxy.reset());
        return proxy.address;
      },
    });
    await using client = new MongoClient(server.uri);
    const ping = () => client.db("test").command({ ping: 1 });
    await ping();
    for (const reset of resets) reset();
    await expect.poll(ping).toMatchObject({ ok: 1 });
  });
});

const resets: (() => void)[] = [];
