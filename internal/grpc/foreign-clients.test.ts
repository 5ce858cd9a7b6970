/**
 * Those who speak something else than gRPC to a gRPC port. What holds at the gateway too is held
 * for both in its tests.
 */

import { once } from "node:events";
import { expect, it } from "vitest";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { pathOf, startTestServer, unary, until } from "./testing/harness.ts";
import { isDisconnected, openSessions, openSockets } from "./testing/raw-calls.ts";

const { getOrder } = OrderQueryService.method;
const answering = { query: { getOrder: async () => ({}) } };

it("another content type than gRPC's is answered with HTTP 415", async () => {
  await using test = await startTestServer(answering);
  using sessions = openSessions(test.server.address, 1);
  const stream = sessions.first.request({ ":method": "POST", ":path": pathOf(getOrder), "content-type": "application/json" });
  const [headers] = await once(stream, "response");
  expect(headers[":status"]).toBe(415);
});

it("HTTP/1.1 is disconnected, and nothing is logged", async () => {
  await using test = await startTestServer(answering);
  using sockets = openSockets(test.server.port, 20);
  for (const socket of sockets.all) socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => sockets.all.every(isDisconnected), "all are disconnected");
  await unary(test.client, getOrder, { orderId: "o-1" });
  expect(test.logged).toEqual([]);
});
