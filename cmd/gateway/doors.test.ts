/** What a client may cause and no more, at every door: one table of bounds, one test for all of them. */

import { once } from "node:events";
import { constants } from "node:http2";
import { status as Code } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { bytesInUse, encode, frame, type Handlers, pathOf, until } from "../../internal/grpc/testing/harness.ts";
import {
  beginCall,
  callFrames,
  frameType,
  greeting,
  greetingWithoutBounds,
  http2Frame,
  isDisconnected,
  makeCall,
  openSessions,
  openSockets,
  preface,
  requestHeaders,
  takenBack,
} from "../../internal/grpc/testing/raw-calls.ts";
import { startTcpProxy } from "../../test/support/tcp-proxy.ts";
import { answering, answers, command, doors, request, waiting } from "./testing/doors.ts";

const { getOrder, watchOrder } = OrderQueryService.method;
const { execute } = OrderCommandService.method;

/** Long enough that only the bound on bytes can end what is not read. */
const onlyBytes = { maxUnreadBytes: 1_000_000, sendTimeoutMs: 600_000, drainTimeoutMs: 100 };

describe.each(Object.entries(doors))("at %s", (_, open) => {
  describe("a request that does not arrive", () => {
    it.each([
      ["half a message", getOrder, request.subarray(0, 7)],
      ["a message without the end of the request", getOrder, request],
      ["nothing", getOrder, Buffer.alloc(0)],
      ["half a message of a watch", watchOrder, request.subarray(0, 7)],
      ["half a message on a stream", execute, Buffer.concat([command("a"), command("b").subarray(0, 9)])],
    ])("beyond %s is given up", async (__, method, bytes) => {
      await using door = await open(answering, { receiveTimeoutMs: 200, sendTimeoutMs: 200 });
      using sessions = openSessions(door.address, 1);
      const call = beginCall(sessions.first, method, bytes);
      expect(await call.status).toMatchObject({ code: Code.DEADLINE_EXCEEDED, info: { reason: "RECEIVE_TIMEOUT" } });
      await until(() => door.callsInProgress() === 0, "no call is left");
      await until(() => call.stream.closed, "the door has ended the stream that the client leaves open");
    });

    it("is no stream on which nothing is said for a while", async () => {
      await using door = await open(answering, { receiveTimeoutMs: 50 });
      using sessions = openSessions(door.address, 1);
      const quiet = beginCall(sessions.first, execute, command("a"));
      await until(() => quiet.messages() === 1, "the first is answered");
      const given = beginCall(sessions.first, getOrder, request.subarray(0, 7));
      await given.status;
      quiet.stream.write(command("b"));
      await until(() => quiet.messages() === 2, "the second is answered");
    });

    it("holds no others up, in thousands", async () => {
      await using door = await open(answering, { receiveTimeoutMs: 1_000 });
      using sessions = openSessions(door.address, 4);
      const calls = sessions.all.flatMap((session) =>
        Array.from({ length: 500 }, () => beginCall(session, getOrder, request.subarray(0, 7))),
      );
      using others = openSessions(door.address, 1);
      expect(await makeCall(others.first, getOrder, request).status).toMatchObject({ code: Code.OK });
      const codes = await Promise.all(calls.map(async ({ status }) => (await status).code));
      expect(new Set(codes)).toEqual(new Set([Code.DEADLINE_EXCEEDED]));
      await until(() => door.callsInProgress() === 0, "no call is left");
    });

    it("may hold only so many bytes, which it gives back", async () => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers, { maxRequestBytes: 100_000 });
      using sessions = openSessions(door.address, 1);
      const large = frame(encode(getOrder.input, { orderId: "o-1", consistencyToken: "t".repeat(60_000) }));
      const first = beginCall(sessions.first, getOrder, large.subarray(0, 50_000));
      await until(() => door.callsInProgress() === 1, "the first is in progress");
      const second = beginCall(sessions.first, getOrder, large.subarray(0, 55_000));
      const refused = { code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_BYTES" } };
      expect(await Promise.race([first.status, second.status])).toMatchObject(refused);
      await until(() => door.callsInProgress() === 1, "one is left");
      const answered = makeCall(sessions.first, getOrder, request);
      await until(() => calls.length > 0, "another arrives");
      release();
      expect(await answered.status).toMatchObject({ code: Code.OK });
      first.stream.close();
      second.stream.close();
      await until(() => door.callsInProgress() === 0, "no call is left");
      for (let i = 0; i < 10; i++) {
        expect(
          await makeCall(sessions.first, getOrder, frame(encode(getOrder.input, { orderId: "o", consistencyToken: "t".repeat(4_000) })))
            .status,
        ).toMatchObject({ code: Code.OK });
      }
    });

    it("is held until it is answered", async () => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers, { maxRequestBytes: 6_000 });
      using sessions = openSessions(door.address, 1);
      const bytes = frame(encode(getOrder.input, { orderId: "o-1", consistencyToken: "t".repeat(4_000) }));
      const first = makeCall(sessions.first, getOrder, bytes);
      await until(() => calls.length === 1, "the first has arrived");
      expect(await makeCall(sessions.first, getOrder, bytes).status).toMatchObject({ info: { reason: "TOO_MANY_BYTES" } });
      release();
      expect(await first.status).toMatchObject({ code: Code.OK });
    });
  });

  describe("a connection", () => {
    it.each([
      ["says nothing", Buffer.alloc(0)],
      ["says one byte", preface.subarray(0, 1)],
      ["says half of what HTTP/2 begins with", preface.subarray(0, 12)],
      ["says no more than that", preface],
    ])("that %s is closed", async (__, bytes) => {
      await using door = await open(answering, { receiveTimeoutMs: 100 });
      using sockets = openSockets(door.port, 5);
      for (const socket of sockets.all) socket.write(bytes);
      await until(() => sockets.all.every(isDisconnected), "all are disconnected");
    });

    it.each([
      ["is not used", greeting],
      ["has half a head", Buffer.concat([greeting, http2Frame(frameType.headers, 0, 1, requestHeaders("/x").subarray(0, 5))])],
    ])("that %s is closed after a while, and does not have to close its side", async (__, bytes) => {
      await using door = await open(answering, { maxConnectionIdleMs: 100, maxConnections: 5 });
      using sockets = openSockets(door.port, 5);
      for (const socket of sockets.all) socket.write(bytes);
      await until(() => sockets.all.every(isDisconnected), "all are disconnected");
      await until(() => answers(door), "there is room for another");
    });

    it("with a watch on it lives on, and is pinged meanwhile", async () => {
      await using door = await open(answering, { maxConnectionIdleMs: 50, keepaliveTimeMs: 50 });
      using sessions = openSessions(door.address, 1);
      let pings = 0;
      sessions.first.on("ping", () => pings++);
      const watch = makeCall(sessions.first, watchOrder, request);
      await until(() => pings >= 3, "it was pinged");
      expect([watch.messages(), watch.stream.closed]).toEqual([1, false]);
    });

    it("whose client vanished is closed, and its calls are cancelled", async () => {
      const { handlers, calls } = waiting();
      await using door = await open(handlers, { keepaliveTimeMs: 100, keepaliveTimeoutMs: 100 });
      using sockets = openSockets(door.port, 1);
      const head = http2Frame(frameType.headers, 4, 1, requestHeaders(pathOf(getOrder)));
      sockets.first.write(Buffer.concat([greeting, head, http2Frame(0, 1, 1, request)]));
      await until(() => calls.length === 1, "the call runs");
      await until(() => isDisconnected(sockets.first), "it is disconnected");
      await until(() => calls[0]?.signal.aborted === true, "the handler knows");
      await until(() => door.callsInProgress() === 0, "no call is left");
    });

    it("is one of only so many", async () => {
      await using door = await open(answering, { maxConnections: 2 });
      using sockets = openSockets(door.port, 3);
      await until(() => sockets.all.filter(isDisconnected).length === 1, "one of three is closed");
    });

    it.each([
      ["random bytes", Buffer.from(Array.from({ length: 4_096 }, (_each, index) => (index * 7919) % 251))],
      ["a preface and then no frames", Buffer.concat([preface, Buffer.alloc(100, "x")])],
    ])("that speaks %s is closed", async (__, bytes) => {
      await using door = await open(answering);
      using sockets = openSockets(door.port, 20);
      for (const socket of sockets.all) socket.write(bytes);
      await until(() => sockets.all.every(isDisconnected), "all are disconnected");
      expect(await answers(door)).toBe(true);
    });

    it("carries only so many calls at once", async () => {
      await using door = await open(answering, { maxStreamsPerConnection: 7 });
      using sessions = openSessions(door.address, 1);
      await once(sessions.first, "remoteSettings");
      expect(sessions.first.remoteSettings.maxConcurrentStreams).toBe(7);
    });

    it("outlives thousands of calls that are taken back", async () => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const innocent = makeCall(sessions.first, watchOrder, request);
      await until(() => innocent.messages() === 1, "the watch is open");
      for (let round = 0; round < 2; round++) {
        const others = Array.from({ length: 900 }, () => makeCall(sessions.first, watchOrder, request));
        await until(() => others.every(({ messages }) => messages() === 1), "all are open");
        for (const { stream } of others) stream.close(constants.NGHTTP2_CANCEL);
        await until(() => door.callsInProgress() === 1, "they are gone");
      }
      expect(innocent.stream.closed).toBe(false);
    });

    it("that makes calls and takes them back in one packet leaves nothing behind", async () => {
      await using door = await open(answering);
      using sockets = openSockets(door.port, 1);
      sockets.first.write(Buffer.concat([greeting, takenBack(pathOf(getOrder), 50)]));
      await once(sockets.first, "data");
      expect(await answers(door)).toBe(true);
      await until(() => door.callsInProgress() === 0, "no call is left");
    });

    it("that is old is left: watches and streams end with where to go on, calls are answered", async () => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers, { maxConnectionAgeMs: 2_000 });
      using sessions = openSessions(door.address, 1);
      const goaway = once(sessions.first, "goaway");
      const watch = makeCall(sessions.first, watchOrder, request);
      const stream = beginCall(sessions.first, execute, command("a"));
      const call = makeCall(sessions.first, getOrder, request);
      await until(() => watch.messages() === 1 && stream.messages() === 1 && calls.length === 1, "all are under way");
      expect((await goaway)[0]).toBe(constants.NGHTTP2_NO_ERROR);
      const aged = { code: Code.UNAVAILABLE, info: { reason: "CONNECTION_AGED" } };
      expect(await watch.status).toMatchObject(aged);
      expect(await stream.status).toMatchObject(aged);
      release();
      expect(await call.status).toMatchObject({ code: Code.OK });
      await once(sessions.first, "close");
    });

    it("that is old and still not left is cut off", async () => {
      const { handlers, calls } = waiting();
      const limits = { maxConnectionAgeMs: 200, maxConnectionAgeGraceMs: 100, keepaliveTimeMs: 50 };
      await using door = await open(handlers, limits);
      using sessions = openSessions(door.address, 1);
      makeCall(sessions.first, getOrder, request);
      await until(() => calls.length === 1, "the call runs");
      await once(sessions.first, "close");
      await until(() => door.callsInProgress() === 0, "no call is left");
    });
  });

  describe("a full door", () => {
    it("refuses a call, and says when to come again", async () => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers, { maxCallsInProgress: 2 });
      using sessions = openSessions(door.address, 1);
      const running = [makeCall(sessions.first, getOrder, request), makeCall(sessions.first, getOrder, request)];
      await until(() => calls.length === 2, "it is full");
      const refused = await makeCall(sessions.first, getOrder, request).status;
      expect(refused).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_CALLS" } });
      release();
      await Promise.all(running.map(({ status }) => status));
      await until(() => door.callsInProgress() === 0, "the calls are over");
      expect(await answers(door)).toBe(true);
    });

    it("refuses a stream while calls still find room", async () => {
      await using door = await open(answering, { maxOpenStreams: 2 });
      using sessions = openSessions(door.address, 1);
      const streams = [makeCall(sessions.first, watchOrder, request), beginCall(sessions.first, execute, command("a"))];
      await until(() => streams.every(({ messages }) => messages() === 1), "it is full");
      const refused = await makeCall(sessions.first, watchOrder, request).status;
      expect(refused).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_STREAMS" } });
      expect(await answers(door)).toBe(true);
      streams[0]?.stream.close();
      await until(() => door.callsInProgress() === 1, "a stream has ended");
      const next = makeCall(sessions.first, watchOrder, request);
      await until(() => next.messages() === 1, "another has its place");
    });
  });

  describe("an answer that is not read", () => {
    it.each([
      ["a call's", { query: { getOrder: async () => ({ consistencyToken: "t".repeat(100_000) }) } }, getOrder],
      [
        "a watch's",
        {
          query: {
            async *watchOrder() {
              for (;;) yield { consistencyToken: "t".repeat(10_000) };
            },
          },
        },
        watchOrder,
      ],
    ] satisfies [string, Handlers, unknown][])("cuts it off: %s", async (__, handlers, method) => {
      await using door = await open(handlers, { sendTimeoutMs: 100 });
      using sessions = openSessions(door.address, 1, { initialWindowSize: 0 });
      const { stream } = makeCall(sessions.first, method, request);
      await until(() => stream.closed, "the stream is reset");
      await until(() => door.callsInProgress() === 0, "no call is left");
    });

    it.each([
      ["large", 20, 200_000],
      ["small", 60, 30_000],
    ])("is held only so far, of all connections together, and who reads is answered: %s", async (__, callsOfEach, length) => {
      let begun = 0;
      const getOrderOf = async () => {
        begun++;
        return { consistencyToken: "t".repeat(length) };
      };
      await using door = await open({ query: { getOrder: getOrderOf } }, onlyBytes);
      const before = bytesInUse();
      using sessions = openSessions(door.address, 5, { initialWindowSize: 0 });
      for (const session of sessions.all) for (let i = 0; i < callsOfEach; i++) makeCall(session, getOrder, request);
      await until(() => begun === 5 * callsOfEach, "all are answered");
      await until(() => bytesInUse() - before < (5 * callsOfEach * length) / 3, "most answers have been given up");
      using others = openSessions(door.address, 1);
      for (let i = 0; i < 5; i++) expect(await makeCall(others.first, getOrder, request).status).toMatchObject({ code: Code.OK });
    });

    it("is cut off where there is no room for it, also of a stream, and who reads goes on", async () => {
      let begun = 0;
      const endless: Handlers = {
        query: {
          async *watchOrder() {
            begun++;
            for (;;) yield { consistencyToken: "t".repeat(20_000) };
          },
        },
      };
      await using door = await open(endless, onlyBytes);
      using readers = openSessions(door.address, 1);
      const reader = makeCall(readers.first, watchOrder, request);
      using sessions = openSessions(door.address, 5, { initialWindowSize: 0 });
      for (const session of sessions.all) for (let i = 0; i < 40; i++) makeCall(session, watchOrder, request);
      await until(() => begun === 201, "all are answered");
      await until(() => door.callsInProgress() < 70, "most have been cut off");
      const read = reader.messages();
      await until(() => reader.messages() > read + 20, "the reader goes on");
    });

    it("is refused with a time to come back, if its own connection has most that is not read", async () => {
      const handlers = { query: { getOrder: async () => ({ consistencyToken: "t".repeat(100_000) }) } };
      await using door = await open(handlers, { maxUnreadBytes: 250_000 });
      using sessions = openSessions(door.address, 1);
      const calls = Array.from({ length: 20 }, () => {
        const call = makeCall(sessions.first, getOrder, request);
        call.stream.pause();
        return call;
      });
      await until(() => calls.some(({ stream }) => stream.readableLength > 0), "answers have come");
      for (const { stream } of calls) stream.resume();
      const statuses = await Promise.all(calls.map(({ status }) => status));
      const refused = statuses.filter(({ code }) => code !== Code.OK);
      expect(refused[0]).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_BYTES" } });
      await until(() => door.callsInProgress() === 0, "no call is left");
      expect(await answers(door)).toBe(true);
    });

    it.each([
      ["when it is cut off", { sendTimeoutMs: 100 }],
      ["when its connection is taken for dead", { keepaliveTimeMs: 100, keepaliveTimeoutMs: 100 }],
    ])("is held no longer, %s, also where the socket takes nothing", async (__, limits) => {
      const handlers = { query: { getOrder: async () => ({ consistencyToken: "t".repeat(1_000_000) }) } };
      await using door = await open(handlers, limits);
      const before = bytesInUse();
      using sockets = openSockets(door.port, 1);
      sockets.first.pause().write(Buffer.concat([greetingWithoutBounds, callFrames(pathOf(getOrder), request, 40)]));
      await until(() => door.callsInProgress() > 0, "they are being answered");
      await until(() => door.callsInProgress() === 0, "no call is left");
      await until(() => bytesInUse() - before < 10_000_000, "nothing is held for them");
    });
  });

  describe("a door that closes", () => {
    it("is not held open by a stream on which nothing is said, and takes no more on it", async () => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const stream = beginCall(sessions.first, execute, command("a"));
      await until(() => stream.messages() === 1, "the first is answered");
      const goaway = once(sessions.first, "goaway");
      const stopped = door.stop();
      await goaway;
      const { code, info } = await stream.status;
      expect([code, info?.reason]).toEqual([Code.UNAVAILABLE, "SERVER_STOPPING"]);
      await stopped;
    });

    it("answers what it has taken, and says of what crosses with the news that it was not begun", async () => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers);
      await using proxy = await startTcpProxy(door.address);
      using sessions = openSessions(proxy.address, 1);
      const before = makeCall(sessions.first, getOrder, request);
      await until(() => calls.length === 1, "a call runs");
      proxy.hold();
      const stopped = door.stop();
      await until(() => proxy.heldBytes() > 0, "the news are on their way");
      const crossing = makeCall(sessions.first, getOrder, request);
      release();
      proxy.release();
      expect([(await before.status).code, (await crossing.status).code]).toEqual([Code.OK, undefined]);
      expect([crossing.stream.rstCode, calls.length]).toEqual([constants.NGHTTP2_REFUSED_STREAM, 1]);
      await stopped;
    });
  });
});
