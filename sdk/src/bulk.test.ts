import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Bulk } from "./bulk.ts";
import { OrderRejectedError } from "./errors.ts";
import type { Headwater } from "./headwater.ts";
import { connectGrpc } from "./node.ts";
import { createOrderStore, type OrderServer, type OrderStore, rejection, startOrderServer } from "./testing/order-server.ts";

let store: OrderStore;
let server: OrderServer;
let headwater: Headwater & Disposable;

beforeEach(async () => {
  store = createOrderStore();
  server = await startOrderServer(store);
  headwater = connectGrpc({ commandUrl: server.url, queryUrl: server.url });
});

afterEach(async () => {
  headwater[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

it("many commands of many orders are answered, each with its own receipt", async () => {
  await using bulk = headwater.bulk();
  const receipts = await Promise.all(
    orders(200).map((orderId) => bulk.execute({ case: "createOrder", value: { orderId, currencyCode: "EUR" } })),
  );
  expect(receipts.map(({ aggregateId }) => aggregateId)).toEqual(orders(200));
  expect(new Set(receipts.map(({ commandId }) => commandId)).size).toBe(200);
});

it("the token of a bulk stream covers its receipts", async () => {
  await using bulk = headwater.bulk();
  await Promise.all(orders(20).map((orderId) => bulk.execute({ case: "placeOrder", value: { orderId } })));
  const session = headwater.session({ token: bulk.token });
  await session.placeOrder({ orderId: "o1" });
  expect(store.attempts.at(-1)?.token).toBe(bulk.token);
  expect(bulk.token).not.toBe("");
});

it("a rejected command rejects, and the others go on", async () => {
  store.before = (attempt) => {
    if (attempt.orderId === "o1") throw rejection("ORDER_EMPTY", attempt);
  };
  await using bulk = headwater.bulk();
  const [rejected, accepted] = await Promise.allSettled(
    ["o1", "o2"].map((orderId) => bulk.execute({ case: "placeOrder", value: { orderId } })),
  );
  expect(rejected).toMatchObject({ status: "rejected", reason: { reason: "ORDER_EMPTY", orderId: "o1" } });
  expect(rejected).toHaveProperty("reason", expect.any(OrderRejectedError));
  expect(accepted).toMatchObject({ status: "fulfilled", value: { aggregateId: "o2" } });
});

it("no more commands are under way than allowed", async () => {
  let underWay = 0;
  let most = 0;
  store.before = async () => {
    most = Math.max(most, ++underWay);
    while (store.attempts.length < 7) await new Promise(setImmediate);
    underWay--;
  };
  await using bulk = headwater.bulk({ maxInFlight: 7 });
  await Promise.all(orders(100).map((orderId) => bulk.execute({ case: "placeOrder", value: { orderId } })));
  expect(most).toBe(7);
  expect(store.decisions).toHaveLength(100);
});

it("a command that the server cannot take now is sent again before the next one of its order", async () => {
  store.before = ({ name }) => {
    if (name === "createOrder" && store.attempts.length < 4) throw new ConnectError("starting", Code.Unavailable);
  };
  await using bulk = headwater.bulk();
  await Promise.all(lifeOf(bulk, "o1"));
  expect(store.decisions.map(({ name }) => name)).toEqual(["createOrder", "addLine", "placeOrder"]);
});

it("after the server was killed, everything unanswered is sent again, in order, and decided once", async () => {
  const ids = orders(60);
  const kills = [20, 70, 130];
  let restarting: Promise<unknown> = Promise.resolve();
  store.after = async () => {
    if (store.decisions.length < (kills[0] ?? Number.POSITIVE_INFINITY)) return;
    kills.shift();
    server.kill();
    restarting = startOrderServer(store, server.port).then((restarted) => {
      server = restarted;
    });
    await restarting;
  };
  await using bulk = headwater.bulk({ maxInFlight: 50 });
  const receipts = await Promise.all(ids.flatMap((orderId) => lifeOf(bulk, orderId)));
  await restarting;

  expect(kills).toEqual([]);
  expect(store.attempts.length).toBeGreaterThan(store.decisions.length);
  expect(store.decisions).toHaveLength(receipts.length);
  for (const id of ids) {
    const names = store.decisions.filter(({ orderId }) => orderId === id).map(({ name }) => name);
    expect(names).toEqual(["createOrder", "addLine", "placeOrder"]);
  }
});

it("a command that is not answered in time rejects, and does not hold up its order", async () => {
  store.before = ({ name }) => (name === "createOrder" ? new Promise(() => {}) : undefined);
  const bulk = headwater.bulk({ timeoutMs: 200 });
  const stuck = bulk.execute({ case: "createOrder", value: { orderId: "o1", currencyCode: "EUR" } });
  await expect(stuck).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  await expect(bulk.execute({ case: "placeOrder", value: { orderId: "o1" } })).resolves.toMatchObject({ aggregateId: "o1" });
  await bulk.close();
});

it("a server that is not there rejects commands when their time is over", async () => {
  server.kill();
  const bulk = headwater.bulk({ timeoutMs: 200 });
  const command = bulk.execute({ case: "placeOrder", value: { orderId: "o1" } });
  await expect(command).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  await bulk.close();
});

it("a command that cannot be encoded rejects alone", async () => {
  await using bulk = headwater.bulk();
  const [bad, good] = await Promise.allSettled([
    bulk.execute({ case: "changeLineQuantity", value: { orderId: "o1", lineId: "1", quantity: 1.5 } }),
    bulk.execute({ case: "placeOrder", value: { orderId: "o1" } }),
  ]);
  expect([bad.status, good.status]).toEqual(["rejected", "fulfilled"]);
});

it("closing waits for all answers, and takes no more commands", async () => {
  const bulk = headwater.bulk({ maxInFlight: 2 });
  const commands = Promise.all(orders(10).map((orderId) => bulk.execute({ case: "placeOrder", value: { orderId } })));
  await bulk.close();
  expect(store.decisions).toHaveLength(10);
  await commands;
  await expect(bulk.execute({ case: "placeOrder", value: { orderId: "o1" } })).rejects.toThrow("closed");
});

function orders(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `o${index + 1}`);
}

/** The first commands of an order, sent without waiting for one another. */
function lifeOf(bulk: Bulk, orderId: string) {
  return [
    bulk.execute({ case: "createOrder", value: { orderId, currencyCode: "EUR" } }),
    bulk.execute({ case: "addLine", value: { orderId, line: { sku: "x", quantity: 1 } } }),
    bulk.execute({ case: "placeOrder", value: { orderId } }),
  ];
}
