import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isCommand } from "./commands.ts";
import { InvalidRequestError, OrderRejectedError } from "./errors.ts";
import { RetryInfoSchema } from "./gen/google/rpc/error_details_pb.ts";
import { OrderCommandService } from "./gen/headwater/orders/v1/order_command_service_pb.ts";
import type { Headwater } from "./headwater.ts";
import { connectGrpc } from "./node.ts";
import {
  type Attempt,
  badRequest,
  createOrderStore,
  type OrderServer,
  type OrderStore,
  rejection,
  startOrderServer,
  tokenOf,
} from "./testing/order-server.ts";

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

it("a session has a method for every command of the contract", () => {
  const names = OrderCommandService.methods.filter(isCommand).map(({ localName }) => localName);
  expect(names).toHaveLength(12);
  expect(Object.keys(headwater.session())).toEqual(expect.arrayContaining(names));
});

it("a command gets a command id, and the request is left as it is", async () => {
  const request = { orderId: "a", options: { correlationId: "import" } };
  const receipt = await headwater.session().placeOrder(request);
  expect(receipt.commandId).toMatch(/^[0-9a-f-]{36}$/);
  expect(request).toEqual({ orderId: "a", options: { correlationId: "import" } });
});

it("a command id of the caller's choice is kept", async () => {
  const commandId = crypto.randomUUID();
  const receipt = await headwater.session().createOrder({ currencyCode: "EUR", options: { commandId } });
  expect(receipt).toMatchObject({ commandId, aggregateId: `of-${commandId}`, version: 1 });
});

describe("tokens", () => {
  it("a query is sent with the token of the commands before it", async () => {
    const session = headwater.session();
    const { consistencyToken } = await session.createOrder({ orderId: "a", currencyCode: "EUR" });
    const { order } = await session.getOrder({ orderId: "a" });
    expect(order).toMatchObject({ orderId: "a", version: 1 });
    expect(store.attempts.at(-1)).toMatchObject({ name: "getOrder", token: consistencyToken });
  });

  it("a session goes on in another process with its token", async () => {
    const first = headwater.session();
    await first.createOrder({ orderId: "a", currencyCode: "EUR" });
    const second = headwater.session({ token: first.token });
    await second.getOrder({ orderId: "a" });
    expect(store.attempts.at(-1)?.token).toBe(first.token);
    expect(first.token).not.toBe("");
  });

  it("a token covers all concurrent commands, in whatever order their answers come", async () => {
    const session = headwater.session();
    const ids = ["a", "b", "c", "d", "a", "b", "c", "d"];
    // The commands of the first orders are answered last.
    store.after = async ({ orderId }) => {
      while (orderId === "a" && store.decisions.length < ids.length) await new Promise(setImmediate);
    };
    await Promise.all(ids.map((orderId) => session.placeOrder({ orderId })));
    const latest: Record<number, bigint> = {};
    for (const [index, { orderId }] of store.decisions.entries()) latest[orderId.charCodeAt(0) % 4] = BigInt(index + 1);
    expect(session.token).toBe(tokenOf(latest));
  });
});

describe("a token of a log that is no more", () => {
  const otherLog = (attempt: Attempt): void => {
    if (attempt.token !== "") throw badRequest("consistency_token", "counts another stream", "TOKEN_OF_ANOTHER_STREAM");
  };

  it("fails one call, and the session goes on without it", async () => {
    const session = headwater.session({ token: tokenOf({ 9: 9n }) });
    store.before = otherLog;
    const error = await failureOf(session.getOrder({ orderId: "a" }));
    expect(error).toMatchObject({ violations: [{ field: "consistency_token", reason: "TOKEN_OF_ANOTHER_STREAM" }] });
    expect(session.token).toBe("");
    await session.createOrder({ orderId: "a", currencyCode: "EUR" });
  });

  it("that came with the call costs the session nothing", async () => {
    const session = headwater.session({ token: tokenOf({ 9: 9n }) });
    store.before = otherLog;
    await failureOf(session.getOrder({ orderId: "a", consistencyToken: tokenOf({ 8: 8n }) }));
    expect(session.token).toBe(tokenOf({ 9: 9n }));
  });
});

it("a call may take any time that is a number", async () => {
  const session = headwater.session({ timeoutMs: Number.POSITIVE_INFINITY, attemptTimeoutMs: 2 ** 53 });
  expect(await session.createOrder({ orderId: "a", currencyCode: "EUR" })).toMatchObject({ aggregateId: "a" });
  await using bulk = headwater.bulk({ timeoutMs: Number.POSITIVE_INFINITY });
  expect(await bulk.execute({ case: "placeOrder", value: { orderId: "a" } })).toMatchObject({ aggregateId: "a" });
});

describe("pages", () => {
  it("all orders come, page by page", async () => {
    const session = headwater.session();
    for (const orderId of ["a", "b", "c", "d", "e"]) await session.createOrder({ orderId, currencyCode: "EUR" });
    const ids: string[] = [];
    for await (const { orderId } of session.orders({ filter: { currencyCode: "EUR" } })) ids.push(orderId);
    expect(ids).toEqual(["a", "b", "c", "d", "e"]);
    expect(store.attempts.filter(({ name }) => name === "listOrders")).toHaveLength(3);
  });
});

describe("errors", () => {
  it("a rejection is typed, and final", async () => {
    store.before = (attempt) => {
      throw rejection("VERSION_MISMATCH", attempt, Code.Aborted);
    };
    const session = headwater.session();
    const error = await failureOf(session.placeOrder({ orderId: "a" }));
    expect(error).toBeInstanceOf(OrderRejectedError);
    expect(session.token).toBe(tokenOf({ 9: 9n }));
    expect(error).toMatchObject({
      reason: "VERSION_MISMATCH",
      code: Code.Aborted,
      orderId: "a",
      currentVersion: 3,
      message: "it cannot be done",
    });
    expect(error).toHaveProperty("commandId", store.attempts[0]?.commandId);
    expect(store.attempts).toHaveLength(1);
  });

  it("a reason of a newer server comes through", async () => {
    store.before = (attempt) => {
      throw rejection("ORDER_ON_THE_MOON", attempt);
    };
    expect(await failureOf(headwater.session().placeOrder({ orderId: "a" }))).toMatchObject({ reason: "ORDER_ON_THE_MOON" });
  });

  it("a request that breaks the rules names the fields", async () => {
    store.before = () => {
      throw badRequest("order_id", "must not be empty");
    };
    const error = await failureOf(headwater.session().getOrder({ orderId: "" }));
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ violations: [{ field: "order_id", description: "must not be empty" }] });
  });

  it.each([Code.NotFound, Code.Internal, Code.PermissionDenied, Code.ResourceExhausted, Code.Unknown])(
    "any other error of a server is final: %s",
    async (code) => {
      store.before = () => {
        throw new ConnectError("no", code);
      };
      expect(await failureOf(headwater.session().getOrder({ orderId: "a" }))).toMatchObject({ name: "ConnectError", code });
      expect(store.attempts).toHaveLength(1);
    },
  );

  it("a request that cannot be encoded is not sent", async () => {
    const facts = { orderId: "a", lineId: "1", quantity: 1.5 };
    expect(await failureOf(headwater.session().changeLineQuantity(facts))).toMatchObject({ message: expect.stringContaining("quantity") });
    expect(store.attempts).toHaveLength(0);
  });
});

describe("retries", () => {
  it.each([
    new ConnectError("starting", Code.Unavailable),
    new ConnectError("too slow", Code.DeadlineExceeded),
    new ConnectError("busy", Code.ResourceExhausted, undefined, [{ desc: RetryInfoSchema, value: { retryDelay: { nanos: 1_000_000 } } }]),
  ])("a command is sent again with the same id after $message", async (error) => {
    store.before = () => {
      if (store.attempts.length < 3) throw error;
    };
    const receipt = await headwater.session().placeOrder({ orderId: "a" });
    expect(store.attempts.map(({ commandId }) => commandId)).toEqual(Array(3).fill(receipt.commandId));
    expect(store.decisions).toHaveLength(1);
  });

  it("a command whose answer is lost with the server is decided once", async () => {
    let restarted: Promise<OrderServer> | undefined;
    store.after = () => {
      if (restarted !== undefined) return;
      server.kill();
      restarted = startOrderServer(store, server.port);
    };
    const receipt = await headwater.session().placeOrder({ orderId: "a" });
    expect(receipt.version).toBe(1);
    expect(store.attempts).toHaveLength(2);
    expect(store.decisions).toHaveLength(1);
    server = (await restarted) ?? server;
  });

  it("an attempt without an answer is made again", async () => {
    store.before = () => (store.attempts.length === 1 ? new Promise(() => {}) : undefined);
    const { order } = await headwater.session({ attemptTimeoutMs: 50 }).getOrder({ orderId: "a" });
    expect(order?.orderId).toBe("a");
    expect(store.attempts.length).toBeGreaterThan(1);
  });

  it("the server's delay is kept", async () => {
    const delay = { desc: RetryInfoSchema, value: { retryDelay: { nanos: 300_000_000 } } };
    store.before = () => {
      if (store.attempts.length === 1) throw new ConnectError("busy", Code.Unavailable, undefined, [delay]);
    };
    const startedAt = performance.now();
    await headwater.session().getOrder({ orderId: "a" });
    expect(performance.now() - startedAt).toBeGreaterThan(300);
  });

  it("retries end with the time for the call", async () => {
    store.before = () => {
      throw new ConnectError("starting", Code.Unavailable);
    };
    const startedAt = performance.now();
    const error = await failureOf(headwater.session({ timeoutMs: 300 }).placeOrder({ orderId: "a" }));
    expect(error).toMatchObject({ code: Code.Unavailable });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(store.attempts.length).toBeGreaterThan(1);
  });

  it("an aborted call is not made again", async () => {
    const abortion = new AbortController();
    store.before = () => {
      abortion.abort();
      throw new ConnectError("starting", Code.Unavailable);
    };
    const error = await failureOf(headwater.session().placeOrder({ orderId: "a" }, { signal: abortion.signal }));
    expect(error).toMatchObject({ code: Code.Canceled });
    expect(store.attempts).toHaveLength(1);
  });
});

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (answer) => {
      throw new Error(`succeeded with ${String(answer)}`);
    },
    (error: unknown) => error,
  );
}
