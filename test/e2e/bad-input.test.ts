/** Whatever comes over the wire gets a precise error or a bounded wait; the process stays up and its memory flat (P8). */

import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { ChannelCredentials, Client, status as Code } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { ConsistencyTokenSchema } from "../../internal/gen/headwater/cqrs/v1/token_pb.ts";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { type DevProcess, startDevProcess } from "../support/dev-process.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";

const { createOrder, addLine, placeOrder, recordPayment } = OrderCommandService.method;
const { getOrder, listOrders } = OrderQueryService.method;
const price = { currencyCode: "EUR", minorUnits: 100n };
const line = { sku: "TEA", quantity: 1, unitPrice: price };

let dev: DevProcess;
let commands: GrpcClient;
let queries: GrpcClient;

beforeAll(async () => {
  dev = await startDevProcess();
  commands = createGrpcClient(dev.commandAddress);
  queries = createGrpcClient(dev.queryAddress);
});
afterAll(async () => {
  commands[Symbol.dispose]();
  queries[Symbol.dispose]();
  await dev[Symbol.asyncDispose]();
});
// It throws, and so fails the test, if the process no longer serves.
afterEach(() => commands.call(createOrder, { currencyCode: "EUR" }));

it("bytes that are no message are an invalid argument", async () => {
  for (const bytes of [Buffer.from([0xff, 0xff, 0xff]), Buffer.from([0x0a, 0x7f, 0x01]), randomBytes(1_000)]) {
    expect(await rawCall("PlaceOrder", bytes)).toBe(Code.INVALID_ARGUMENT);
  }
});

it("fields that break a rule are named with their path", async () => {
  const error = await failure(commands.call(createOrder, { currencyCode: "EUR", lines: [line, { ...line, quantity: -1 }] }));
  expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: "FIELD_VIOLATIONS" });
  expect(error.message).toContain("lines[1].quantity");
  const missing = await failure(commands.call(addLine, { orderId: "order" }));
  expect(missing.message).toContain("line");
  const id = await failure(commands.call(placeOrder, { orderId: "x".repeat(65) }));
  expect(id.message).toContain("order_id");
});

it("a message over the limit is refused", async () => {
  const lines = Array.from({ length: 1_000 }, () => ({ ...line, description: "x".repeat(2_000) }));
  expect(await failure(commands.call(createOrder, { currencyCode: "EUR", lines }))).toMatchObject({ code: Code.RESOURCE_EXHAUSTED });
});

it("amounts that would overflow are refused by the domain", async () => {
  const dear = { ...line, quantity: 1_000_000, unitPrice: { currencyCode: "EUR", minorUnits: 1_000_000_000_000_000n } };
  expect(await failure(commands.call(createOrder, { currencyCode: "EUR", lines: [dear] }))).toMatchObject({ reason: "AMOUNT_TOO_LARGE" });
  const tooDear = { ...line, unitPrice: { currencyCode: "EUR", minorUnits: 9_223_372_036_854_775_807n } };
  expect(await failure(commands.call(createOrder, { currencyCode: "EUR", lines: [tooDear] }))).toMatchObject({
    reason: "FIELD_VIOLATIONS",
  });
});

it("an unknown order and a wrong state have their own reasons", async () => {
  const unknown = { orderId: `order-${randomUUID()}` };
  expect(await failure(commands.call(placeOrder, unknown))).toMatchObject({ code: Code.NOT_FOUND, reason: "ORDER_NOT_FOUND" });
  expect(await failure(queries.call(getOrder, unknown))).toMatchObject({ code: Code.NOT_FOUND, reason: "ORDER_NOT_FOUND" });
  const { receipt } = await commands.call(createOrder, { currencyCode: "EUR" });
  const early = { orderId: receipt?.aggregateId ?? "", amount: price };
  expect(await failure(commands.call(recordPayment, early))).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: "ORDER_NOT_PLACED" });
});

it("absurd page tokens and tokens of another stream are refused with what to do", async () => {
  for (const pageToken of ["nonsense", randomBytes(300).toString("base64url"), "A".repeat(4_000), "🦀"]) {
    const error = await failure(queries.call(listOrders, { pageToken }));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT });
    expect(error.message).toContain("page_token");
  }
  const otherLog = base64Encode(
    toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions: [{ stream: randomUUID(), sequences: [1n] }] })),
    "url",
  );
  for (const consistencyToken of ["nonsense", otherLog, randomBytes(300).toString("base64url")]) {
    const read = await failure(queries.call(getOrder, { orderId: "order", consistencyToken }));
    expect(read).toMatchObject({ code: Code.INVALID_ARGUMENT });
    const write = await failure(commands.call(createOrder, { currencyCode: "EUR", options: { consistencyToken } }));
    expect(write).toMatchObject({ code: Code.INVALID_ARGUMENT });
    expect(write.message).toContain("consistency_token");
  }
});

it("thousands of requests left half-way are answered in time, others go on meanwhile, and memory stays flat", async () => {
  const residentBefore = await residentMegabytes(dev.pid);
  const sessions = Array.from({ length: 10 }, () => connect(`http://${dev.commandAddress}`));
  const statuses = sessions.flatMap((session) => Array.from({ length: 300 }, () => halfRequest(session)));
  const { receipt } = await commands.call(createOrder, { currencyCode: "EUR" });
  expect(receipt?.version).toBe(1);
  const ended = await Promise.all(statuses);
  for (const session of sessions) session.destroy();
  expect(ended).toHaveLength(3_000);
  expect(ended.filter((status) => status !== String(Code.DEADLINE_EXCEEDED) && status !== String(Code.RESOURCE_EXHAUSTED))).toEqual([]);
  // Three thousand streams at their limit of a megabyte each would be gigabytes.
  expect((await residentMegabytes(dev.pid)) - residentBefore).toBeLessThan(300);
}, 120_000);

/** A request that promises a message and sends a part of it; resolves with the status it is answered with. */
function halfRequest(session: ReturnType<typeof connect>): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/headwater.orders.v1.OrderCommandService/CreateOrder",
      "content-type": "application/grpc",
      te: "trailers",
    });
    let status = "none";
    const note = (headers: IncomingHttpHeaders): void => {
      const value = headers["grpc-status"];
      if (typeof value === "string") status = value;
    };
    stream
      .on("response", note)
      .on("trailers", note)
      .on("error", () => undefined)
      .on("close", () => resolve(status));
    stream.resume();
    stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0x10, 0]), randomBytes(500)]));
  });
}

function rawCall(method: string, bytes: Buffer): Promise<number> {
  const client = new Client(dev.commandAddress, ChannelCredentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const plain = (value: Buffer): Buffer => value;
  return new Promise((resolve) => {
    client.makeUnaryRequest(`/headwater.orders.v1.OrderCommandService/${method}`, plain, plain, bytes, (error) => {
      client.close();
      resolve(error?.code ?? Code.OK);
    });
  });
}

async function failure(call: Promise<unknown>): Promise<CallError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CallError) return error;
  throw new Error(`expected a failed call, got ${String(error)}`);
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}
