import { once } from "node:events";
import { Client, status as Code, credentials, Metadata } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { OrderCommandService } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Call } from "./call.ts";
import { StatusError, unavailable } from "./errors.ts";
import { defaultLimits } from "./limits.ts";
import { startGrpcServer } from "./server.ts";
import { encode, failureOf, identity, pathOf, startTestServer, unary, unaryBytes, until } from "./testing/harness.ts";

const { getOrder, listOrders } = OrderQueryService.method;
const { addLine, createOrder } = OrderCommandService.method;

describe("a unary call", () => {
  it("is answered", async () => {
    await using test = await startTestServer({ query: { getOrder: async ({ orderId }) => ({ order: { orderId } }) } });
    const response = await unary(test.client, getOrder, { orderId: "o-1" });
    expect(response.order?.orderId).toBe("o-1");
  });

  it("gets response headers, trailers and what the client said of itself", async () => {
    let seen: Pick<Call, "deadlineMs" | "peer"> | undefined;
    await using test = await startTestServer({
      query: {
        async getOrder(_request, call) {
          seen = call;
          call.setResponseHeader("x-header", call.header("x-request-id") ?? "");
          call.setResponseTrailer("x-trailer", "t");
          return {};
        },
      },
    });
    const metadata = new Metadata();
    metadata.set("x-request-id", "r-1");
    const deadline = Date.now() + 5_000;
    const [headers, trailers] = await new Promise<[Metadata, Metadata]>((resolve, reject) => {
      let received = new Metadata();
      test.client
        .makeUnaryRequest(
          pathOf(getOrder),
          identity,
          identity,
          encode(getOrder.input, { orderId: "o" }),
          metadata,
          { deadline },
          (error) => (error === null ? undefined : reject(error)),
        )
        .on("metadata", (first) => (received = first))
        .on("status", (status) => resolve([received, status.metadata]));
    });
    expect(headers.get("x-header")).toEqual(["r-1"]);
    expect(trailers.get("x-trailer")).toEqual(["t"]);
    expect(seen?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(Math.abs((seen?.deadlineMs ?? 0) - deadline)).toBeLessThan(1_000);
  });

  it("has no deadline where the client set none", async () => {
    let deadlineMs: number | undefined = 1;
    await using test = await startTestServer({
      query: {
        async getOrder(_request, call) {
          deadlineMs = call.deadlineMs;
          return {};
        },
      },
    });
    await unary(test.client, getOrder, { orderId: "o" });
    expect(deadlineMs).toBeUndefined();
  });
});

describe("a bad request", () => {
  it("of malformed protobuf is INVALID_ARGUMENT", async () => {
    await using test = await startTestServer();
    const failure = await failureOf(unaryBytes(test.client, pathOf(getOrder), Buffer.from([0x0a, 0xff, 0xff])));
    expect(failure.code).toBe(Code.INVALID_ARGUMENT);
    expect(failure.message).toContain("headwater.orders.v1.GetOrderRequest");
    expect(failure.info).toMatchObject({ reason: "MALFORMED_MESSAGE", domain: "orders.headwater" });
    expect(test.logged).toEqual([]);
  });

  it("names the fields that break the rules of the .proto", async () => {
    await using test = await startTestServer();
    const line = { lineId: "l-1", quantity: 0, sku: "s", unitPrice: { currencyCode: "EUR", minorUnits: 1n } };
    const failure = await failureOf(unary(test.client, createOrder, { currencyCode: "euro", lines: [line] }));
    expect(failure.code).toBe(Code.INVALID_ARGUMENT);
    expect(failure.message).toMatch(/^currency_code: .+ \(and 1 more\)$/);
    expect(failure.info).toMatchObject({ reason: "FIELD_VIOLATIONS", domain: "orders.headwater" });
    expect(failure.badRequest?.fieldViolations.map(({ field, reason }) => [field, reason])).toEqual([
      ["currency_code", "string.pattern"],
      ["lines[0].quantity", "int32.gte_lte"],
    ]);
  });

  it("with a field that the server does not know is refused, wherever it stands", async () => {
    await using test = await startTestServer();
    const known = encode(createOrder.input, { currencyCode: "EUR", lines: [{ sku: "s" }] });
    const unknown = Buffer.concat([known, Buffer.from([0x98, 0x06, 0x01])]);
    const failure = await failureOf(unaryBytes(test.client, pathOf(createOrder), unknown));
    expect(failure).toMatchObject({ code: Code.INVALID_ARGUMENT, message: expect.stringContaining("the number 99") });
    expect(failure.badRequest?.fieldViolations).toMatchObject([{ field: "", reason: "UNKNOWN_FIELD" }]);
  });

  it("lacks a required field", async () => {
    await using test = await startTestServer();
    const failure = await failureOf(unary(test.client, addLine, { orderId: "o-1" }));
    expect(failure.badRequest?.fieldViolations).toMatchObject([{ field: "line", reason: "required" }]);
  });

  it("with a thousand violations gets an answer that fits in headers", async () => {
    await using test = await startTestServer();
    const failure = await failureOf(
      unary(test.client, createOrder, { currencyCode: "EUR", lines: Array.from({ length: 1_000 }, () => ({})) }),
    );
    expect(failure.code).toBe(Code.INVALID_ARGUMENT);
    expect(failure.badRequest?.fieldViolations).toHaveLength(20);
    expect(Buffer.concat(failure.metadata.get("grpc-status-details-bin") as Buffer[]).length).toBeLessThan(6_000);
  });

  it("that is too large is RESOURCE_EXHAUSTED", async () => {
    await using test = await startTestServer();
    const failure = await failureOf(unaryBytes(test.client, pathOf(getOrder), Buffer.alloc(defaultLimits.maxMessageBytes + 1)));
    expect(failure.code).toBe(Code.RESOURCE_EXHAUSTED);
  });

  it("for an unknown method is UNIMPLEMENTED", async () => {
    await using test = await startTestServer();
    const failure = await failureOf(unaryBytes(test.client, "/headwater.orders.v1.OrderQueryService/Nothing", Buffer.alloc(0)));
    expect(failure.code).toBe(Code.UNIMPLEMENTED);
  });
});

describe("an error", () => {
  it("that the handler means for the caller arrives with its details", async () => {
    await using test = await startTestServer({
      query: {
        getOrder: () =>
          Promise.reject(unavailable("not yet: 50 % \ud800", { reason: "NOT_YET_VISIBLE", metadata: { view: "orders" } }, 250)),
        listOrders: () => Promise.reject(new StatusError(Code.NOT_FOUND, "no such order", { reason: "ORDER_NOT_FOUND" })),
      },
    });
    const failure = await failureOf(unary(test.client, getOrder, { orderId: "o" }));
    expect(failure).toMatchObject({ code: Code.UNAVAILABLE, message: "not yet: 50 % \ufffd" });
    expect(failure.status).toMatchObject({ code: Code.UNAVAILABLE, message: failure.message });
    expect(failure.info).toMatchObject({ reason: "NOT_YET_VISIBLE", domain: "orders.headwater", metadata: { view: "orders" } });
    expect(failure.retryInfo?.retryDelay).toMatchObject({ seconds: 0n, nanos: 250_000_000 });
    expect(await failureOf(unary(test.client, listOrders, {}))).toMatchObject({ code: Code.NOT_FOUND, message: "no such order" });
    expect(test.logged).toEqual([]);
  });

  it("that nobody foresaw tells the caller nothing, and is logged once", async () => {
    await using test = await startTestServer({ query: { getOrder: () => Promise.reject(new TypeError("secret")) } });
    const failure = await failureOf(unary(test.client, getOrder, { orderId: "o" }));
    expect(failure).toMatchObject({ code: Code.INTERNAL, message: "internal error" });
    expect(JSON.stringify(failure.metadata.toJSON())).not.toContain(Buffer.from("secret").toString("base64").slice(0, 6));
    expect(failure.info).toMatchObject({ reason: "INTERNAL", domain: "orders.headwater", metadata: {} });
    expect(failure.status.details).toHaveLength(1);
    expect(test.logged).toMatchObject([{ err: { message: "secret" }, method: "headwater.orders.v1.OrderQueryService/GetOrder" }]);
  });

  it("in encoding the response is as internal as any other", async () => {
    await using test = await startTestServer({ query: { getOrder: async () => ({ order: { version: 1.5 } }) } });
    expect(await failureOf(unary(test.client, getOrder, { orderId: "o" }))).toMatchObject({
      code: Code.INTERNAL,
      message: "internal error",
    });
    expect(test.logged).toHaveLength(1);
  });
});

describe("the signal of a call", () => {
  it("aborts at the client's deadline", async () => {
    const { handlers, reasons } = waitingHandlers();
    await using test = await startTestServer(handlers);
    // Not as an option: then the client would end the call as well, and either may be first.
    const metadata = new Metadata();
    metadata.set("grpc-timeout", "200m");
    const bytes = encode(getOrder.input, { orderId: "o" });
    const failure = await failureOf(unaryBytes(test.client, pathOf(getOrder), bytes, { metadata }));
    expect(failure.code).toBe(Code.DEADLINE_EXCEEDED);
    await until(() => reasons.length === 1, "the handler knows");
    expect(reasons).toMatchObject([{ code: Code.DEADLINE_EXCEEDED }]);
    expect(test.logged).toEqual([]);
  });

  it("aborts when the client cancels", async () => {
    const { handlers, reasons, started } = waitingHandlers();
    await using test = await startTestServer(handlers);
    const bytes = encode(getOrder.input, { orderId: "o" });
    const call = test.client.makeUnaryRequest(pathOf(getOrder), identity, identity, bytes, new Metadata(), {}, () => {});
    await until(() => started() === 1, "the call runs");
    call.cancel();
    await until(() => reasons.length === 1, "the handler knows");
    expect(reasons).toMatchObject([{ code: Code.CANCELLED }]);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
    expect(test.logged).toEqual([]);
  });

  it("aborts by itself where the client set no deadline, and the client is told", async () => {
    const { handlers, reasons } = waitingHandlers();
    await using test = await startTestServer(handlers, { unaryTimeoutMs: 100 });
    const failure = await failureOf(unary(test.client, getOrder, { orderId: "o" }));
    expect(failure).toMatchObject({ code: Code.DEADLINE_EXCEEDED, info: { reason: "CALL_TIMEOUT" } });
    expect(reasons).toHaveLength(1);
  });
});

it("a call that does not heed its signal is answered all the same", async () => {
  const never = new Promise<never>(() => {});
  await using test = await startTestServer({ query: { getOrder: () => never } }, { unaryTimeoutMs: 100 });
  expect(await failureOf(unary(test.client, getOrder, { orderId: "o" }))).toMatchObject({ code: Code.DEADLINE_EXCEEDED });
  await until(() => test.server.callsInProgress() === 0, "no call is left");
});

describe("a server that stops", () => {
  it("lets a running call finish, and sends whoever comes now elsewhere", async () => {
    const answer = Promise.withResolvers<object>();
    let isStarted = false;
    await using test = await startTestServer({
      query: {
        getOrder() {
          isStarted = true;
          return answer.promise;
        },
        listOrders: async () => ({}),
      },
    });
    const running = unary(test.client, getOrder, { orderId: "o" });
    await until(() => isStarted, "the call runs");
    const stopped = test.server[Symbol.asyncDispose]();
    expect(await failureOf(unary(test.client, listOrders, {}))).toMatchObject({ code: Code.UNAVAILABLE });
    answer.resolve({ order: { orderId: "late" } });
    expect((await running).order?.orderId).toBe("late");
    await stopped;
    expect((await failureOf(unary(test.client, listOrders, {}))).code).toBe(Code.UNAVAILABLE);
  });

  it("cuts off what does not finish in time", async () => {
    const { handlers, reasons, started } = waitingHandlers();
    const test = await startTestServer(handlers, { drainTimeoutMs: 50 });
    const running = failureOf(unary(test.client, getOrder, { orderId: "o" }));
    await until(() => started() === 1, "the call runs");
    await test[Symbol.asyncDispose]();
    expect([Code.CANCELLED, Code.UNAVAILABLE]).toContain((await running).code);
    await until(() => reasons.length === 1, "the handler knows");
    expect(test.logged).toMatchObject([{ calls: 1 }]);
  });
});

describe("health", () => {
  it("begins as NOT_SERVING, of a server that is alive", async () => {
    const logger = pino({ level: "silent" });
    await using server = await startGrpcServer({ host: "127.0.0.1", port: 0, services: [], errorDomain: "test", logger });
    const client = new Client(server.address, credentials.createInsecure());
    expect(await healthOf(client, "")).toBe("NOT_SERVING");
    expect(await healthOf(client, "alive")).toBe("SERVING");
    client.close();
  });

  it("is what the server is told, by service and as a whole", async () => {
    await using test = await startTestServer();
    expect(await healthOf(test.client, "")).toBe("SERVING");
    expect(await healthOf(test.client, OrderQueryService.typeName)).toBe("SERVING");
    test.server.setServing(false);
    expect(await healthOf(test.client, OrderQueryService.typeName)).toBe("NOT_SERVING");
    expect(await healthOf(test.client, "")).toBe("NOT_SERVING");
    expect((await failureOf(unary(test.client, listOrders, {}))).code).toBe(Code.UNAVAILABLE);
    test.server.setServing(true);
    expect(await healthOf(test.client, "")).toBe("SERVING");
    await expect(healthOf(test.client, "nothing")).rejects.toMatchObject({ code: Code.NOT_FOUND });
  });
});

/** Handlers whose getOrder waits until its signal aborts, and what it was told then. */
function waitingHandlers() {
  const reasons: unknown[] = [];
  let calls = 0;
  const handlers = {
    query: {
      async getOrder(_request: unknown, { signal }: Call) {
        calls++;
        signal.addEventListener("abort", () => reasons.push(signal.reason));
        await once(signal, "abort");
        throw new DOMException("nobody waits any more", "AbortError");
      },
    },
  };
  return { handlers, reasons, started: () => calls };
}

function healthOf(client: Client, service: string): Promise<string> {
  const check = healthService["Check"];
  if (check === undefined) throw new TypeError("the health service has no Check");
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(check.path, check.requestSerialize, check.responseDeserialize, { service }, (error, response) =>
      error === null ? resolve((response as { status: string }).status) : reject(error),
    );
  });
}
