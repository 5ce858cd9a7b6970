import { Code, ConnectError, createRouterTransport, type ServiceImpl, type Transport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { OrderQueryService } from "./gen/headwater/orders/v1/order_query_service_pb.ts";
import { createHeadwater } from "./headwater.ts";
import type { SessionOptions } from "./session.ts";
import { tokenOf } from "./testing/order-server.ts";

type Queries = Partial<ServiceImpl<typeof OrderQueryService>>;

const away = () => new ConnectError("away", Code.Unavailable);

function transportOf(queries: Queries): Transport {
  return createRouterTransport((router) => router.service(OrderQueryService, queries));
}

function sessionOf(queries: Queries, options: SessionOptions = {}) {
  const transport = transportOf(queries);
  return createHeadwater({ commands: transport, queries: transport }).session(options);
}

it("an order is watched on behind the last version seen when its server goes away", async () => {
  const asked: number[] = [];
  const session = sessionOf({
    async *watchOrder({ orderId, afterVersion }) {
      asked.push(afterVersion);
      yield { consistencyToken: tokenOf({ 1: BigInt(afterVersion) }) };
      yield { order: { orderId, version: afterVersion + 1 } };
      if (asked.length < 3) throw away();
      yield { order: { orderId, version: afterVersion + 2 } };
    },
  });
  const versions: number[] = [];
  for await (const { version } of session.watchOrder({ orderId: "a" })) {
    versions.push(version);
    if (version === 4) break;
  }
  expect(versions).toEqual([1, 2, 3, 4]);
  expect(asked).toEqual([0, 1, 2]);
  expect(session.token).toBe(tokenOf({ 1: 2n }));
});

it("a subscription that is reset because nobody read it goes on behind what was delivered", async () => {
  const transport = transportOf({
    async *subscribeOrderEvents({ position }) {
      yield { position: `${position}+` };
    },
  });
  let calls = 0;
  const resetting: Transport = {
    unary: transport.unary,
    async stream(...call) {
      calls += 1;
      // What the transports report of it: no answer of a server, so without metadata.
      if (calls === 2) throw new ConnectError("stream closed with error code ENHANCE_YOUR_CALM", Code.ResourceExhausted);
      return transport.stream(...call);
    },
  };
  const positions: string[] = [];
  const session = createHeadwater({ commands: resetting, queries: resetting }).session();
  for await (const { position } of session.subscribeOrderEvents()) if (positions.push(position) === 3) break;
  expect(positions).toEqual(["+", "++", "+++"]);
  expect(calls).toBe(4);
});

it("a list comes first, and then its changes, also over a break", async () => {
  const tokens: string[] = [];
  const session = sessionOf({
    async *watchOrders({ position }) {
      if (position === "") {
        yield { position: "1", consistencyToken: tokenOf({ 1: 1n }) };
        throw away();
      }
      yield { position, changes: [{ change: { case: "leftOrderId", value: "b" } }] };
    },
    listOrders({ consistencyToken, pageToken }) {
      tokens.push(consistencyToken);
      return { orders: [{ orderId: pageToken || "a" }], nextPageToken: pageToken === "" ? "b" : "" };
    },
  });
  const changes: string[] = [];
  for await (const change of session.watchOrders()) {
    changes.push(change.case === "order" ? change.value.orderId : `without ${change.value}`);
    if (changes.length === 3) break;
  }
  expect(changes).toEqual(["a", "b", "without b"]);
  expect(tokens).toEqual([tokenOf({ 1: 1n }), tokenOf({ 1: 1n })]);
});

it("leaving the loop ends the call", async () => {
  const ended = Promise.withResolvers<string>();
  const session = sessionOf({
    async *watchOrder({ orderId }, { signal }) {
      signal.addEventListener("abort", () => ended.resolve("ended"));
      yield { order: { orderId, version: 1 } };
      await ended.promise;
    },
  });
  for await (const _ of session.watchOrder({ orderId: "a" })) break;
  expect(await ended.promise).toBe("ended");
});

it("no server for too long, a refusal, and a caller who gives up end a stream", async () => {
  const failing = (code: Code, options: SessionOptions = {}) =>
    sessionOf(
      {
        async *watchOrder({ orderId }) {
          if (orderId === "") yield {};
          throw new ConnectError("no", code);
        },
      },
      options,
    );
  const first = (session: ReturnType<typeof sessionOf>, signal?: AbortSignal) =>
    session.watchOrder({ orderId: "a" }, signal === undefined ? {} : { signal }).next();
  await expect(first(failing(Code.Unavailable, { timeoutMs: 200 }))).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(first(failing(Code.InvalidArgument))).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(first(failing(Code.Unavailable), AbortSignal.timeout(100))).rejects.toBeInstanceOf(ConnectError);
});
