import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { Client, status as Code, credentials } from "@grpc/grpc-js";
import { type Logger, pino } from "pino";
import { expect, it } from "vitest";
import type { Documents } from "../../internal/cqrs/documents.ts";
import { generationsCollection } from "../../internal/cqrs/projector/generations.ts";
import { applied, checkpointAt, introduce } from "../../internal/cqrs/testing/positions.ts";
import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { EventStart, OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { encode, failureOf, identity, pathOf } from "../../internal/grpc/testing/harness.ts";
import { orderHistory } from "../../internal/orders/projection/order-history.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { createGrpcClient } from "../../test/support/grpc-client.ts";
import { orderDomain } from "../../test/support/order-domain.ts";
import { startQueryService } from "./app.ts";

const { subscribeOrderEvents, watchOrder } = OrderQueryService.method;

it("streams end with the server, and their clients know when to come back", async () => {
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  await introduce(documents, orderViews, 2);
  const service = await startQueryService(
    { domains: [orderDomain], host: "127.0.0.1", port: 0 },
    { documents, logger: pino({ level: "silent" }) },
  );
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

it("a subscription goes on behind its events, and not behind others that have come to stand there", async () => {
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  await documents.prepare([orderHistory.collection]);
  await introduce(documents, orderViews, 2);
  await put(documents, 3, "first");
  const options = { documents, logger: pino({ level: "silent" }) };
  const { position } = await answerOf(options, "");
  expect(position).not.toBe("");
  expect(await answerOf(options, position)).toMatchObject({ position });
  await documents.drop([orderHistory.collection.name, generationsCollection.name]);
  await documents.prepare([orderHistory.collection]);
  await introduce(documents, orderViews, 2);
  await put(documents, 5, "second");
  const refused = answerOf(options, position);
  await expect(refused).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT, message: expect.stringMatching(/lost its end/) });
});

/** The first answer of a service that has just started. */
async function answerOf(options: { readonly documents: Documents; readonly logger: Logger }, position: string) {
  await using service = await startQueryService({ domains: [orderDomain], host: "127.0.0.1", port: 0 }, options);
  service.setServing(true);
  using client = createGrpcClient(service.address);
  const answers = client.follow(subscribeOrderEvents, { position, start: EventStart.END }, AbortSignal.timeout(60_000));
  const { value } = await answers.next();
  await answers.return(undefined);
  return value;
}

/** So many events in one partition, each of its own command. */
async function put(documents: Documents, count: number, commands: string): Promise<void> {
  const writes = Array.from({ length: count }, (_, index) => {
    const [sequence, upTo] = [index + 1, applied({ 0: index + 1 })];
    const metadata = { aggregateId: "o-1", version: sequence, sequence: BigInt(sequence), commandId: `${commands}-${sequence}` };
    const event = create(OrderEventSchema, { metadata, event: { case: "lineRemoved", value: { lineId: "1" } } });
    const [id = ""] = orderHistory.keys(event);
    return { collection: orderHistory.collection.name, id, expectedRevision: 0, applied: upTo, fields: orderHistory.encode(event, upTo) };
  });
  expect(await documents.write(writes, [checkpointAt(orderHistory, 0, count)])).toEqual([]);
}
