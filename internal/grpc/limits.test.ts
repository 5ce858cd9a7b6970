import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { promisify } from "node:util";
import { status as Code } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { encode, failureOf, frame, pathOf, startTestServer, unary, unaryBytes, until } from "./testing/harness.ts";

const { getOrder } = OrderQueryService.method;
const answering = { query: { getOrder: async () => ({}) } };
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frameType = { headers: 1, resetStream: 3, settings: 4 } as const;
const endHeaders = 4;
const request = frame(encode(getOrder.input, { orderId: "o-1" }));

describe("requests that do not arrive completely", () => {
  it("are answered in time, 2,000 of them, and other calls go on", async () => {
    await using test = await startTestServer(answering, { receiveTimeoutMs: 1_000, sendTimeoutMs: 1_000 });
    using sessions = openSessions(test.server.address, 4);
    const halfSent = sessions.all.flatMap((session) => Array.from({ length: 500 }, () => beginCall(session, request.subarray(0, 7))));
    await until(() => test.server.callsInProgress() === 2_000, "all are in progress");
    await unary(test.client, getOrder, { orderId: "o-1" });
    const answers = await Promise.all(halfSent.map(({ answer }) => answer));
    expect(new Set(answers.map((headers) => headers["grpc-status"]))).toEqual(new Set([String(Code.DEADLINE_EXCEEDED)]));
    await until(() => test.server.callsInProgress() === 0, "none is in progress");
    await until(() => halfSent.every(({ stream }) => stream.closed), "the server has ended the streams that the client leaves open");
  });

  it("may hold only so many bytes", async () => {
    await using test = await startTestServer(answering, { maxBytesInReceipt: 100_000 });
    using sessions = openSessions(test.server.address, 1);
    const [session] = sessions.all;
    if (session === undefined) throw new Error("no session");
    const large = frame(Buffer.alloc(60_000));
    const first = beginCall(session, large.subarray(0, 50_000));
    await until(() => test.server.callsInProgress() === 1, "the first is in progress");
    const second = beginCall(session, large.subarray(0, 55_000));
    const refused = await Promise.race([first.answer, second.answer]);
    expect(refused["grpc-status"]).toBe(String(Code.RESOURCE_EXHAUSTED));
    await until(() => test.server.callsInProgress() === 1, "one is left");
    await unary(test.client, getOrder, { orderId: "o-1" });
  });

  it("give their bytes back", async () => {
    await using test = await startTestServer(answering, { maxBytesInReceipt: 100_000 });
    const bytes = encode(getOrder.input, { orderId: "o-1", consistencyToken: "t".repeat(4_000) });
    for (let i = 0; i < 50; i++) await expect(unaryBytes(test.client, pathOf(getOrder), bytes)).resolves.toHaveLength(0);
  });
});

describe("a full server", () => {
  it("refuses a call and says when to come again", async () => {
    const answer = Promise.withResolvers<object>();
    await using test = await startTestServer({ query: { getOrder: () => answer.promise } }, { maxCallsInProgress: 2 });
    const running = [unary(test.client, getOrder, { orderId: "a" }), unary(test.client, getOrder, { orderId: "b" })];
    await until(() => test.server.callsInProgress() === 2, "it is full");
    const failure = await failureOf(unary(test.client, getOrder, { orderId: "c" }));
    expect(failure).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_CALLS" } });
    expect(failure.retryInfo?.retryDelay?.seconds).toBe(1n);
    answer.resolve({});
    await Promise.all(running);
    await until(() => test.server.callsInProgress() === 0, "the calls are over");
    await unary(test.client, getOrder, { orderId: "c" });
  });

  it("takes only so many connections", async () => {
    await using test = await startTestServer(answering, { maxConnections: 2 });
    using sockets = openSockets(test.server.port, 3);
    await until(() => sockets.all.filter(isDisconnected).length === 1, "one of three is closed");
  });
});

describe("a client that breaks the rules", () => {
  it("gets HTTP 415 for another content type than gRPC", async () => {
    await using test = await startTestServer(answering);
    using sessions = openSessions(test.server.address, 1);
    const stream = sessions.all[0]?.request({ ":method": "POST", ":path": pathOf(getOrder), "content-type": "application/json" });
    const [headers] = await once(stream as ClientHttp2Stream, "response");
    expect(headers[":status"]).toBe(415);
  });

  it.each([
    ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["random bytes", Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 7919) % 251))],
    ["a preface and then no frames", Buffer.concat([preface, Buffer.alloc(100, "x")])],
  ])("and speaks %s is disconnected", async (_what, bytes) => {
    await using test = await startTestServer(answering);
    using sockets = openSockets(test.server.port, 20);
    for (const socket of sockets.all) socket.write(bytes);
    await until(() => sockets.all.every(isDisconnected), "all are disconnected");
    await unary(test.client, getOrder, { orderId: "o-1" });
    expect(test.logged).toEqual([]);
  });

  it("and says nothing is disconnected, even if it never closes its side", async () => {
    await using test = await startTestServer(answering, { maxConnectionIdleMs: 100, maxConnections: 5 });
    using sockets = openSockets(test.server.port, 5);
    await until(() => sockets.all.every(isDisconnected), "all are disconnected");
    await promisify(test.client.waitForReady.bind(test.client))(Date.now() + 10_000);
  });

  it("and takes calls back in the packet that makes them leaves nothing behind", async () => {
    await using test = await startTestServer(answering);
    using sockets = openSockets(test.server.port, 1);
    const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
    const calls = Array.from({ length: 50 }, (_, index) => 2 * index + 1).flatMap((id) => [
      http2Frame(frameType.headers, endHeaders, id, requestHeaders(pathOf(getOrder))),
      http2Frame(frameType.resetStream, 0, id, cancel),
    ]);
    sockets.all[0]?.write(Buffer.concat([preface, http2Frame(frameType.settings, 0, 0), ...calls]));
    await once(sockets.all[0] as Socket, "data");
    await unary(test.client, getOrder, { orderId: "o-1" });
    await until(() => test.server.callsInProgress() === 0, "no call is left");
  });

  it("and does not answer pings is disconnected", async () => {
    await using test = await startTestServer(answering, { keepaliveTimeMs: 100, keepaliveTimeoutMs: 100 });
    using sockets = openSockets(test.server.port, 1);
    sockets.all[0]?.write(Buffer.concat([preface, http2Frame(frameType.settings, 0, 0)]));
    await until(() => sockets.all.every(isDisconnected), "it is disconnected");
  });

  it("and does not read its answer is cut off", async () => {
    await using test = await startTestServer(
      { query: { getOrder: async () => ({ consistencyToken: "t".repeat(10_000) }) } },
      { sendTimeoutMs: 100 },
    );
    using sessions = openSessions(test.server.address, 1, { initialWindowSize: 0 });
    const [session] = sessions.all;
    if (session === undefined) throw new Error("no session");
    const { stream } = beginCall(session, request);
    stream.end();
    await until(() => stream.closed, "the stream is reset");
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
  });
});

function openSessions(address: string, count: number, settings = {}) {
  const all = Array.from({ length: count }, () => connect(`http://${address}`, { settings }));
  return { all, [Symbol.dispose]: () => all.forEach((session) => session.destroy()) };
}

/** Connections of which the client never closes its side by itself. */
function openSockets(port: number, count: number) {
  const all = Array.from({ length: count }, (): Socket => {
    const socket = connectSocket({ port, host: "127.0.0.1", allowHalfOpen: true });
    return socket.on("error", () => {}).resume();
  });
  return { all, [Symbol.dispose]: () => all.forEach((socket) => socket.destroy()) };
}

function isDisconnected(socket: Socket): boolean {
  return socket.readableEnded || socket.closed;
}

/** Sends the bytes and leaves the stream open. */
function beginCall(session: ClientHttp2Session, bytes: Buffer) {
  const stream = session.request(
    { ":method": "POST", ":path": pathOf(getOrder), "content-type": "application/grpc", te: "trailers" },
    { endStream: false },
  );
  stream.on("error", () => {});
  const answer = once(stream, "response").then(([headers]) => headers as IncomingHttpHeaders);
  answer.catch(() => {});
  stream.write(bytes);
  stream.resume();
  return { stream, answer };
}

function http2Frame(type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** POST and http are in HPACK's static table, as are the names of the other headers; their values are literal. */
function requestHeaders(path: string): Buffer {
  const literal = (name: readonly number[], value: string) => Buffer.from([...name, value.length, ...Buffer.from(value)]);
  const [authority, pathName, contentType] = [[0x01], [0x04], [0x0f, 0x10]] as const;
  return Buffer.concat([
    Buffer.from([0x83, 0x86]),
    literal(authority, "localhost"),
    literal(pathName, path),
    literal(contentType, "application/grpc"),
  ]);
}
