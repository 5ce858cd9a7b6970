/** What a call says is read at every door as it is meant, or refused with a reason. */

import { gzipSync } from "node:zlib";
import { status as Code } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { frame, until } from "../../internal/grpc/testing/harness.ts";
import { beginCall, makeCall, openSessions } from "../../internal/grpc/testing/raw-calls.ts";
import { answering, doors, request, waiting } from "./testing/doors.ts";

const { getOrder, watchOrder } = OrderQueryService.method;
const { execute } = OrderCommandService.method;

describe.each(Object.entries(doors))("at %s", (_, open) => {
  describe("a deadline", () => {
    it.each(["600H", "8760H", "99999999S", "99999999H", "2147484S", "36000M"])("of %s is waited for", async (timeout) => {
      const { handlers, calls, release } = waiting();
      await using door = await open(handlers);
      using sessions = openSessions(door.address, 1);
      const call = makeCall(sessions.first, getOrder, request, { "grpc-timeout": timeout });
      const watch = makeCall(sessions.first, watchOrder, request, { "grpc-timeout": timeout });
      await until(() => calls.length === 1 && watch.messages() === 1, "both are under way");
      const next = makeCall(sessions.first, getOrder, request);
      await until(() => calls.length === 2, "another call comes after them");
      expect([call.stream.closed, watch.stream.closed, calls[0]?.signal.aborted]).toEqual([false, false, false]);
      release();
      expect(await call.status).toMatchObject({ code: Code.OK });
      expect(await next.status).toMatchObject({ code: Code.OK });
    });

    it.each(["-1S", "1.5S", "100000000S", "1 S", "S", "1s", "1D", ""])("of %j is none", async (timeout) => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const { code, message } = await makeCall(sessions.first, getOrder, request, { "grpc-timeout": timeout }).status;
      expect([code, message]).toEqual([Code.INVALID_ARGUMENT, expect.stringContaining("timeout")]);
    });

    it.each(["0n", "0S"])("of %s has passed", async (timeout) => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const { code } = await makeCall(sessions.first, getOrder, request, { "grpc-timeout": timeout }).status;
      expect(code).toBe(Code.DEADLINE_EXCEEDED);
    });
  });

  describe("what cannot be read", () => {
    const compressed = (bytes: Buffer) => {
      const framed = frame(bytes);
      framed.writeUInt8(1);
      return framed;
    };
    const gzip = { "grpc-encoding": "gzip" };
    it.each([
      ["bytes that are no message", frame(Buffer.from([0x0a, 0x7f, 0x01])), {}],
      ["bytes that end too early", frame(Buffer.from([0x12])), {}],
      ["bytes that are not compressed as they say", compressed(Buffer.from("no gzip")), gzip],
      ["compressed bytes that are no message", compressed(gzipSync(Buffer.from([0x0a, 0x7f, 0x01]))), gzip],
      ["a field that nobody knows", frame(Buffer.from([0x0a, 0x01, 0x6f, 0x98, 0x06, 0x01])), {}],
    ])("is the caller's fault: %s", async (__, bytes, headers) => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const { code, info } = await makeCall(sessions.first, getOrder, bytes, headers).status;
      expect([code, info?.reason]).toEqual([Code.INVALID_ARGUMENT, expect.stringMatching(/^(MALFORMED_MESSAGE|FIELD_VIOLATIONS)$/)]);
    });

    it("is no message that is compressed, even an empty one", async () => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const call = makeCall(sessions.first, getOrder, compressed(gzipSync(request.subarray(5))), gzip);
      expect(await call.status).toMatchObject({ code: Code.OK });
      const empty = beginCall(sessions.first, execute, compressed(Buffer.alloc(0)), gzip);
      await until(() => empty.messages() === 1, "it is answered");
    });

    it("is refused in words if it has too many headers", async () => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const headers = (count: number) => Object.fromEntries(Array.from({ length: count }, (_each, index) => [`x-${index}`, "v"]));
      const refused = await makeCall(sessions.first, getOrder, request, headers(150)).status;
      expect(refused).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, info: { reason: "TOO_MANY_HEADERS" } });
      expect(await makeCall(sessions.first, getOrder, request, headers(80)).status).toMatchObject({ code: Code.OK });
    });

    it("is refused with a reason if it is a method that nobody has", async () => {
      await using door = await open(answering);
      using sessions = openSessions(door.address, 1);
      const { code, info } = await makeCall(sessions.first, "/headwater.orders.v1.OrderQueryService/Nothing", request).status;
      expect([code, info?.reason]).toEqual([Code.UNIMPLEMENTED, "UNKNOWN_METHOD"]);
    });

    it.each([
      ["Renée", "Ren%C3%A9e"],
      ["50% Renée", "50%25 Ren%C3%A9e"],
      ["Ren%C3%A9e", "Ren%C3%A9e"],
      ["❤", "%E2%9D%A4"],
    ])("is no header beyond ASCII: %s", async (name, arrives) => {
      const { handlers, calls, release } = waiting();
      release();
      await using door = await open(handlers);
      using sessions = openSessions(door.address, 1);
      const headers = { "headwater-actor": Buffer.from(name).toString("latin1") };
      expect(await makeCall(sessions.first, getOrder, request, headers).status).toMatchObject({ code: Code.OK });
      expect(calls[0]?.header("headwater-actor")).toBe(arrives);
    });
  });
});
