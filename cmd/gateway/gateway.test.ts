import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { Client, credentials, status as GrpcCode, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { resourceExhausted, StatusError, unavailable } from "../../internal/grpc/errors.ts";
import { encode, pathOf, startTestServer, unaryBytes } from "../../internal/grpc/testing/harness.ts";
import { OrderRejectedError } from "../../sdk/src/index.ts";
import { connectGrpc } from "../../sdk/src/node.ts";
import { connectWeb } from "../../sdk/src/web.ts";
import { type Gateway, startGateway } from "./app.ts";

type Handlers = NonNullable<Parameters<typeof startTestServer>[0]>;

const seen: { deadlineMs?: number | undefined; authorization?: string | undefined; cookie?: string | undefined } = {};
const handlers: Handlers = {
  query: {
    async getOrder({ orderId }, call) {
      seen.deadlineMs = call.deadlineMs;
      seen.authorization = call.header("authorization");
      seen.cookie = call.header("cookie");
      call.setResponseHeader("x-served-by", "test");
      return { order: { orderId, version: 7 } };
    },
    async *watchOrder({ orderId }) {
      yield { order: { orderId, version: 1 } };
      yield { order: { orderId, version: 2 } };
      if (orderId === "endless") await new Promise(() => {});
      throw unavailable("away", { reason: "SERVER_STOPPING" }, 250);
    },
    async listOrders() {
      throw resourceExhausted("too much", { reason: "TOO_MANY_CALLS" }, 250);
    },
  },
  command: {
    async placeOrder({ orderId, options }, call) {
      call.setResponseTrailer("headwater-token", "a", "b");
      const metadata = { aggregate_id: orderId, command_id: options?.commandId ?? "", version: "3" };
      if (orderId === "empty") throw new StatusError(GrpcCode.FAILED_PRECONDITION, "add a line first", { reason: "ORDER_EMPTY", metadata });
      return { receipt: { aggregateId: orderId, commandId: options?.commandId ?? "", version: 2 } };
    },
    async *execute(requests) {
      for await (const { command } of requests) {
        const { orderId = "", options } = command?.command.value ?? {};
        const commandId = options?.commandId ?? "";
        yield { commandId, aggregateId: orderId, result: { case: "receipt", value: { aggregateId: orderId, commandId, version: 1 } } };
      }
    },
  },
};

let upstream: Awaited<ReturnType<typeof startTestServer>>;
let gateway: Gateway;
let url: string;

beforeEach(async () => {
  upstream = await startTestServer(handlers);
  const service = `http://${upstream.server.address}`;
  gateway = await startGateway({
    host: "127.0.0.1",
    port: 0,
    commandUrl: service,
    queryUrl: service,
    allowedOrigins: ["https://shop.example"],
  });
  url = `http://${gateway.address}`;
});

afterEach(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

it("gRPC's own retries are told when to come again, by a service and by the gateway itself", async () => {
  const client = new Client(gateway.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const pushback = async () => {
    const call = unaryBytes(client, pathOf(OrderQueryService.method.listOrders), Buffer.alloc(0));
    const error: ServiceError = await call.then(
      () => Promise.reject(new Error("it was answered")),
      (reason: ServiceError) => reason,
    );
    return error.metadata.get("grpc-retry-pushback-ms");
  };
  expect(await pushback()).toEqual(["250"]);
  await upstream[Symbol.asyncDispose]();
  expect(await pushback()).toEqual(["1000"]);
});

it("what a service says after its messages is passed on with an error too, in every protocol", async () => {
  const { placeOrder } = OrderCommandService.method;
  const client = new Client(gateway.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const rejected = unaryBytes(client, pathOf(placeOrder), encode(placeOrder.input, { orderId: "empty" }));
  const { metadata } = await rejected.then(
    () => Promise.reject(new Error("it was answered")),
    (reason: ServiceError) => reason,
  );
  expect(metadata.get("headwater-token").join().split(/, */)).toEqual(["a", "b"]);
  const response = await fetch(`${url}/headwater.orders.v1.OrderCommandService/PlaceOrder`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ orderId: "empty" }),
  });
  expect(await response.json()).toMatchObject({ code: "failed_precondition" });
  expect(response.headers.get("trailer-headwater-token")).toBe("a, b");
});

const clients = {
  connect: () => connectWeb({ baseUrl: url }),
  "gRPC-Web": () => connectWeb({ baseUrl: url, protocol: "grpc-web" }),
  gRPC: () => connectGrpc({ commandUrl: url, queryUrl: url }),
};

describe.each(Object.entries(clients))("over %s", (_, connect) => {
  it("commands and queries are answered", async () => {
    const session = connect().session();
    expect(await session.placeOrder({ orderId: "a" })).toMatchObject({ aggregateId: "a", version: 2 });
    expect((await session.getOrder({ orderId: "a" })).order).toMatchObject({ orderId: "a", version: 7 });
  });

  it("a rejection keeps its details", async () => {
    const rejected = connect().session().placeOrder({ orderId: "empty" });
    await expect(rejected).rejects.toBeInstanceOf(OrderRejectedError);
    await expect(rejected).rejects.toMatchObject({
      reason: "ORDER_EMPTY",
      code: Code.FailedPrecondition,
      orderId: "empty",
      currentVersion: 3,
    });
  });

  it("a stream is forwarded as it comes, and ends as it ends", async () => {
    const versions: number[] = [];
    const watching = async () => {
      for await (const { order } of connect().queries.watchOrder({ orderId: "a" })) versions.push(order?.version ?? 0);
    };
    const error = await watching().catch(ConnectError.from);
    expect(versions).toEqual([1, 2]);
    expect(error).toMatchObject({ code: Code.Unavailable, rawMessage: "away" });
    expect((error as ConnectError).details.map((detail) => "type" in detail && detail.type)).toContain("google.rpc.RetryInfo");
  });

  it("a stream that would not end is ended with the gateway, with a time to come back", async () => {
    const states = connect().queries.watchOrder({ orderId: "endless" })[Symbol.asyncIterator]();
    await states.next();
    await states.next();
    const ended = states.next().catch(ConnectError.from);
    await gateway[Symbol.asyncDispose]();
    expect(await ended).toMatchObject({ code: Code.Unavailable, rawMessage: expect.stringContaining("stopping") });
  });

  it("deadlines and headers come through, cookies do not", async () => {
    const startedAt = Date.now();
    let servedBy: string | null = null;
    const headers = { authorization: "Bearer x", cookie: "session=1" };
    await connect().queries.getOrder(
      { orderId: "a" },
      { timeoutMs: 5_000, headers, onHeader: (header) => (servedBy = header.get("x-served-by")) },
    );
    expect(seen.deadlineMs).toBeGreaterThan(startedAt);
    expect(seen.deadlineMs).toBeLessThan(startedAt + 6_000);
    expect(seen).toMatchObject({ authorization: "Bearer x", cookie: undefined });
    expect(servedBy).toBe("test");
  });

  it("an overloaded service is said to be so, with its delay", async () => {
    const error = await connect().queries.listOrders({}).catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.ResourceExhausted, rawMessage: "too much" });
    expect((error as ConnectError).details.map((detail) => "type" in detail && detail.type)).toContain("google.rpc.RetryInfo");
  });

  it("a service that is not there is unavailable", async () => {
    await upstream[Symbol.asyncDispose]();
    const error = await connect().queries.getOrder({ orderId: "a" }).catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.Unavailable, rawMessage: "the service cannot be reached" });
    upstream = await startTestServer(handlers);
  });

  it("a message above the limit is refused", async () => {
    const error = await connect()
      .queries.getOrder({ orderId: "x".repeat(1.5 * 1024 * 1024) })
      .catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.ResourceExhausted });
  });
});

it("bulk works through the gateway over gRPC", async () => {
  await using bulk = clients.gRPC().bulk();
  const ids = Array.from({ length: 100 }, (_, index) => `o${index}`);
  const receipts = await Promise.all(ids.map((orderId) => bulk.execute({ case: "placeOrder", value: { orderId } })));
  expect(receipts.map(({ aggregateId }) => aggregateId)).toEqual(ids);
});

it("plain JSON is answered with plain JSON", async () => {
  const response = await fetch(`${url}/headwater.orders.v1.OrderQueryService/GetOrder`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ orderId: "a" }),
  });
  expect([response.status, await response.json()]).toEqual([200, { order: { orderId: "a", version: 7 } }]);
});

it("a stream in both directions over HTTP/1.1 is refused in words", async () => {
  const response = await fetch(`${url}/headwater.orders.v1.OrderCommandService/Execute`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: new Uint8Array(),
  });
  expect(response.status).toBe(505);
});

it("HTTP/2 without TLS is served on the same port", async () => {
  const session = connectHttp2(url);
  const headers = await new Promise<IncomingHttpHeaders>((resolve) => session.request({ ":path": "/nothing" }).on("response", resolve));
  expect(headers[":status"]).toBe(404);
  session.close();
});

it.each([
  ["https://shop.example", true],
  ["http://localhost:5173", true],
  ["the gateway's own", true],
  ["https://evil.example", false],
  ["https://localhost.evil.example", false],
  ["null", false],
])("a page of the origin %s may call: %s", async (name, isAllowed) => {
  const origin = name === "the gateway's own" ? url : name;
  const path = `${url}/headwater.orders.v1.OrderQueryService/GetOrder`;
  const preflight = await fetch(path, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
  const call = await fetch(path, { method: "POST", headers: { origin, "content-type": "application/json" }, body: "{}" });
  const expected = isAllowed ? origin : null;
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-origin")).toBe(expected);
  expect(call.headers.get("access-control-allow-origin")).toBe(expected);
});

it("running calls are answered before the gateway closes", async () => {
  const arrived = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  await using slow = await startTestServer({
    query: {
      async getCustomerSummary({ customerId }) {
        arrived.resolve();
        await released.promise;
        return { summary: { customerId } };
      },
    },
  });
  const service = `http://${slow.server.address}`;
  const closing = await startGateway({ host: "127.0.0.1", port: 0, commandUrl: service, queryUrl: service });
  const answer = connectWeb({ baseUrl: `http://${closing.address}` }).queries.getCustomerSummary({ customerId: "c" });
  await arrived.promise;
  const closed = closing[Symbol.asyncDispose]();
  released.resolve();
  expect((await answer).summary?.customerId).toBe("c");
  await closed;
  await expect(fetch(`http://${closing.address}/`)).rejects.toThrow("fetch failed");
});
