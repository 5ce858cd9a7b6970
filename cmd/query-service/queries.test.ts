/** What the read side says beside its answers: precise refusals, and how fresh it is. */

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, expect, it } from "vitest";
import { noteRefusal } from "../../internal/cqrs/projector/refusals.ts";
import { checkpointAt, introduce, testStream } from "../../internal/cqrs/testing/positions.ts";
import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { ErrorInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { SalesSort } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../../internal/orders/projection/order.ts";
import { orderHistory } from "../../internal/orders/projection/order-history.ts";
import { eur, historyOf, line, project } from "../../internal/orders/projection/testing/events.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { createLogger } from "../../internal/platform/logging.ts";
import { InvalidRequestError } from "../../sdk/src/index.ts";
import { connectGrpc } from "../../sdk/src/node.ts";
import { orderDomain } from "../../test/support/order-domain.ts";
import { startQueryService } from "./app.ts";

const lines = [line("1", 1, 100n), line("2", 1, 0n)];
const history = historyOf([
  { case: "orderCreated", value: { currencyCode: "EUR", lines } },
  { case: "orderPlaced", value: { total: eur(100n), quantity: 2n, lines } },
]);
const recordedAt = "2026-03-01T10:01:00.000Z";

await using stack = new AsyncDisposableStack();
const documents = stack.use(await openEmbeddedDocuments({ inMemory: true }));
await project(documents, orderViews, history);
await introduce(documents, orderViews, 4);
const newest = { eventTimeMs: Date.parse(recordedAt) };
await documents.write(
  [],
  [orders, orderHistory].map((view) => checkpointAt(view, 0, 2, newest)),
);
const logger = createLogger({ app: "query-service", level: "silent" });
const service = stack.use(await startQueryService({ domains: [orderDomain], host: "127.0.0.1", port: 0 }, { documents, logger }));
service.setServing(true);
const { queries, session } = stack.use(connectGrpc({ queryUrl: `http://${service.address}` }));
const running = stack.move();
afterAll(() => running.disposeAsync());

const orderId = "order-1";

it("an order is answered as it was", async () => {
  const { order } = await queries.getOrderAsOf({ orderId, asOf: { case: "version", value: 1 }, readMask: { paths: ["version"] } });
  expect(order).toMatchObject({ orderId: "", version: 1 });
});

it.each<[what: string, request: Parameters<typeof queries.getOrderAsOf>[0], reason: string, metadata: object]>([
  ["that does not exist", { orderId: "other", asOf: { case: "version", value: 1 } }, "ORDER_NOT_FOUND", {}],
  ["that did not get so far", { orderId, asOf: { case: "version", value: 3 } }, "VERSION_NOT_REACHED", { version: "2" }],
  [
    "that did not exist yet",
    { orderId, asOf: { case: "time", value: timestampFromDate(new Date("2026-03-01T09:00:00Z")) } },
    "ORDER_NOT_YET_CREATED",
    { created_at: "2026-03-01T10:00:00.000Z" },
  ],
])("an order %s is not found, with the reason", async (_what, request, reason, metadata) => {
  const error = await failure(queries.getOrderAsOf(request));
  expect(error.code).toBe(Code.NotFound);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason, metadata }]);
});

it.each<[what: string, call: () => Promise<unknown>, field: string]>([
  ["a version before the first", () => session().getOrderAsOf({ orderId, asOf: { case: "version", value: 0 } }), "version"],
  ["neither a version nor a time", () => session().getOrderAsOf({ orderId }), "as_of"],
  ["a path that leads nowhere", () => session().getOrder({ orderId, readMask: { paths: ["status", "colour"] } }), "read_mask.paths[1]"],
  ["such a path for a list", () => session().listOrders({ readMask: { paths: ["lines.sku"] } }), "read_mask.paths[0]"],
  ["amounts of all currencies in one order", () => session().listProductSales({ sort: SalesSort.LARGEST_AMOUNT_FIRST }), ""],
])("%s is an invalid argument, and is named", async (_what, call, field) => {
  const error = await call().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InvalidRequestError);
  expect(error).toMatchObject({ violations: [{ field }] });
});

it("every answer says when the newest event that it covers was recorded, also that nothing was found", async () => {
  const trailers: (string | null)[] = [];
  const onTrailer = (trailer: Headers) => void trailers.push(trailer.get("headwater-latest-event-at"));
  await queries.getOrder({ orderId }, { onTrailer });
  await queries.listOrderEvents({ orderId }, { onTrailer });
  await queries.getOrderCounts({}, { onTrailer });
  const { metadata } = await failure(queries.getOrder({ orderId: "other" }));
  expect([...trailers, metadata.get("headwater-latest-event-at")]).toEqual([recordedAt, recordedAt, null, recordedAt]);
});

it("a history with events of a newer version is left to newer servers", async () => {
  const newer = historyOf([{ case: "orderCreated", value: {} }], { orderId: "newer" });
  for (const { metadata } of newer) if (metadata !== undefined) metadata.schemaVersion += 1;
  await project(documents, [orderHistory], newer);
  const error = await failure(queries.listOrderEvents({ orderId: "newer" }));
  expect(error.code).toBe(Code.Unavailable);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "NEWER_EVENT" }]);
});

it("documents that a projector has found to be of another history of the log are not shown, and the remedy is named", async () => {
  const place = { stream: testStream, partition: 3, nowMs: 1 };
  const read = () => queries.getOrder({ orderId }).then(() => "shown", ConnectError.from);
  await noteRefusal(documents, { ...place, isRefused: true });
  await expect.poll(read, { timeout: 30_000 }).toMatchObject({ code: Code.FailedPrecondition });
  const error = await failure(queries.getOrder({ orderId }));
  expect(error.message).toContain("headwater views reset");
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "DOCUMENTS_NOT_OF_THE_LOG" }]);
  expect(service.collections).toThrow("headwater views reset");
  await noteRefusal(documents, { ...place, nowMs: 2, isRefused: false });
  await expect.poll(read, { timeout: 30_000 }).toBe("shown");
});

it("the client walks through the lists of sales", async () => {
  const [products, countries] = [session().productSales({ pageSize: 1 }), session().countrySales({ pageSize: 1 })];
  expect(await Array.fromAsync(products, ({ sku }) => sku)).toEqual(["SKU-1", "SKU-2"]);
  expect(await Array.fromAsync(countries, ({ totals }) => totals?.currencyCode)).toEqual(["EUR"]);
});

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConnectError);
  return error as ConnectError;
}
