/** What pages and JSON clients send to the gateway: read as it is meant, or refused with what is wrong and where. */

import { connect } from "node:net";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type CreateOrderRequest, CreateOrderRequestSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { startTestServer, until } from "../../internal/grpc/testing/harness.ts";
import { isDisconnected, openSockets } from "../../internal/grpc/testing/raw-calls.ts";
import { largestCreation } from "../../internal/orders/testing/largest-order.ts";
import { type Gateway, startGateway } from "./app.ts";

const created: CreateOrderRequest[] = [];
let service: Awaited<ReturnType<typeof startTestServer>>;
let gateway: Gateway;

beforeAll(async () => {
  service = await startTestServer({
    command: {
      async createOrder(request) {
        created.push(request);
        return {};
      },
    },
    query: {
      async *watchOrder() {
        for (;;) yield { consistencyToken: "t".repeat(10_000) };
      },
    },
  });
  const url = `http://${service.server.address}`;
  const limits = { receiveTimeoutMs: 300, sendTimeoutMs: 300, maxConnectionIdleMs: 300 };
  gateway = await startGateway({ host: "127.0.0.1", port: 0, commandUrl: url, queryUrl: url, limits });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

const line = { sku: "tea", quantity: 1, unitPrice: { currencyCode: "EUR", minorUnits: "100" } };

it.each([
  ["an unknown field", { lines: [line, { ...line, quantty: 1 }] }, "lines[1].quantty", "is no field of"],
  ["a value of another type", { lines: [line, line, { ...line, quantity: "many" }] }, "lines[2].quantity", "many"],
  [
    "an unknown name of an enum",
    { options: { waitFor: "COMMAND_STAGE_SOON" } },
    "options.wait_for",
    `is no headwater.cqrs.v1.CommandStage: "COMMAND_STAGE_SOON"`,
  ],
  ["a time that is a number", { options: { occurredAt: 5 } }, "options.occurred_at", "is no google.protobuf.Timestamp: 5"],
  ["a field under both of its names", { orderId: "a", order_id: "b" }, "order_id", "is there twice"],
  ["an amount that is no number", { lines: [{ ...line, unitPrice: { minorUnits: "1.5" } }] }, "lines[0].unit_price.minor_units", "1.5"],
  ["no object", { shippingAddress: "London" }, "shipping_address", "must be an object"],
  ["a list that is none", { lines: { 0: line } }, "lines", "expected Array"],
])("%s in JSON is refused with its path", async (_, request, path, words) => {
  const { status, body } = await post("CreateOrder", JSON.stringify(request));
  expect(status).toBe(400);
  expect(body).toMatchObject({ code: "invalid_argument", message: expect.stringContaining(words) });
  expect(body.message.startsWith(`${path}: `), body.message).toBe(true);
  expect(body.details.map(({ type }) => type)).toEqual(["google.rpc.ErrorInfo", "google.rpc.BadRequest"]);
});

it("what is no JSON is refused in words", async () => {
  expect((await post("CreateOrder", '{"lines": [')).body).toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining("no JSON"),
  });
});

it.each(["application/grpc-web-text", "application/grpc-web-text+proto"])("%s is refused where its clients look for it", async (type) => {
  const response = await call("CreateOrder", "AAAAAAA=", { "content-type": type });
  expect(response.headers.get("grpc-status")).toBe("12");
  expect(decodeURIComponent(response.headers.get("grpc-message") ?? "")).toContain("application/grpc-web+proto");
});

it.each([
  ["a path that nobody serves", "Nothing", "application/json", 404, "UNKNOWN_METHOD"],
  ["a type that nobody reads", "CreateOrder", "text/plain", 415, "UNSUPPORTED_CONTENT_TYPE"],
])("%s is refused in words", async (_, method, type, status, reason) => {
  const response = await call(method, "{}", { "content-type": type });
  const { code, details } = (await response.json()) as { readonly code: string; readonly details: readonly { readonly value: string }[] };
  expect([response.status, code, atob(details[0]?.value ?? "")]).toEqual([status, "unimplemented", expect.stringContaining(reason)]);
});

it.each([
  ["binary", "application/proto", () => toBinary(CreateOrderRequestSchema, largestCreation())],
  ["JSON", "application/json", () => JSON.stringify(toJson(CreateOrderRequestSchema, largestCreation()))],
  ["JSON that is ASCII only", "application/json", () => ascii(JSON.stringify(toJson(CreateOrderRequestSchema, largestCreation())))],
])("the largest order that the rules allow is taken as %s", async (_, type, body) => {
  created.length = 0;
  expect((await call("CreateOrder", body(), { "content-type": type })).status).toBe(200);
  expect(created[0]).toEqual(create(CreateOrderRequestSchema, largestCreation()));
});

it.each(["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])(
  "a page of %s, resolved to this machine, is refused",
  async (host) => {
    expect(await raw(`POST /headwater.orders.v1.OrderCommandService/CreateOrder HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 421 [^]*--allowed-hosts/,
    );
  },
);

it.each(["localhost:8080", "127.0.0.1", "[::1]:1"])("%s is this machine", async (host) => {
  expect(await raw(`OPTIONS / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 204/);
});

it.each([
  ["half a head", "POST /headwater.orders.v1.OrderCommandService/CreateOrder HTTP/1.1\r\nHo"],
  [
    "half a body",
    "POST /headwater.orders.v1.OrderCommandService/CreateOrder HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
  ],
  ["nothing after a call", "OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
])("%s over HTTP/1.1 is given up", async (_, bytes) => {
  using sockets = openSockets(gateway.port, 5);
  for (const socket of sockets.all) socket.write(bytes);
  await until(() => sockets.all.every(isDisconnected), "all are disconnected");
  await until(() => gateway.callsInProgress() === 0, "no call is left");
});

it("a watch over HTTP/1.1 that is not read is cut off", async () => {
  using sockets = openSockets(gateway.port, 1);
  const request = Buffer.from("\0\0\0\0\u0002{}");
  const head = `POST /headwater.orders.v1.OrderQueryService/WatchOrder HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${request.length}\r\n\r\n`;
  sockets.first.pause().write(Buffer.concat([Buffer.from(head), request]));
  await until(() => gateway.callsInProgress() === 1, "it runs");
  await until(() => gateway.callsInProgress() === 0, "it has been cut off");
});

function call(method: string, body: string | Uint8Array, headers: Record<string, string>): Promise<Response> {
  return fetch(`http://${gateway.address}/headwater.orders.v1.OrderCommandService/${method}`, {
    method: "POST",
    headers,
    body: body as never,
  });
}

async function post(method: string, body: string) {
  const response = await call(method, body, { "content-type": "application/json" });
  return {
    status: response.status,
    body: (await response.json()) as { readonly message: string; readonly details: readonly { readonly type: string }[] },
  };
}

/** All of an answer to what no client would send. */
async function raw(request: string): Promise<string> {
  const socket = connect(gateway.port, "127.0.0.1");
  socket.end(request);
  return Buffer.concat(await socket.toArray()).toString();
}

function ascii(json: string): string {
  return json.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
