import { once } from "node:events";
import { Client, status as Code, credentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { expect, it } from "vitest";
import { introduce } from "../../internal/cqrs/testing/positions.ts";
import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { encode, failureOf, identity, pathOf } from "../../internal/grpc/testing/harness.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { startQueryService } from "./app.ts";

const { watchOrder } = OrderQueryService.method;

it("streams end with the server, and their clients know when to come back", async () => {
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  await introduce(documents, orderViews, 2);
  const service = await startQueryService({ host: "127.0.0.1", port: 0 }, { documents, logger: pino({ level: "silent" }) });
  service.setServing(true);
  const client = new Client(service.address, credentials.createInsecure());
  const request = encode(watchOrder.input, { orderId: "o-1" });
  const stream = client.makeServerStreamRequest(pathOf(watchOrder), identity, identity, request);
  const failed = once(stream, "error").then(([error]) => Promise.reject(error));
  await once(stream, "data");
  const stoppedAt = performance.now();
  await Promise.all([service[Symbol.asyncDispose](), failed.catch(() => undefined)]);
  const { code, info, retryInfo } = await failureOf(failed);
  expect([code, info?.reason, retryInfo?.retryDelay?.seconds]).toEqual([Code.UNAVAILABLE, "SERVER_STOPPING", 1n]);
  expect(performance.now() - stoppedAt).toBeLessThan(5_000);
  client.close();
});
