import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { GetOrderAsOfRequestSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { documentsAfter, eur, eventOf, type Facts, historyOf, line, project } from "../projection/testing/events.ts";
import { orderViews } from "../projection/views.ts";
import { getOrderAsOf } from "./get-order-as-of.ts";

/** More than one read of a history. */
const changes = 250;

/** Created at 10:00, then an event a minute. */
const history = historyOf([
  { case: "orderCreated", value: { customerId: "ann", currencyCode: "EUR", lines: [line("1", 1, 100n)] } },
  ...Array.from({ length: changes }, (_, index): Facts => ({ case: "lineQuantityChanged", value: { lineId: "1", quantity: index + 2 } })),
  { case: "orderPlaced", value: { total: eur(25_100n), quantity: 251n } },
]);

/** Its second event was recorded late, its third says that it happened before that. */
const unordered = ["10:00", "12:00", "11:00"].map((time, index) =>
  eventOf(index === 0 ? { case: "orderCreated", value: {} } : { case: "lineAdded", value: { line: line(String(index), 1, 1n) } }, {
    orderId: "unordered",
    version: index + 1,
    occurredAt: `2026-03-01T${time}:00Z`,
  }),
);

const documents = await openEmbeddedDocuments({ inMemory: true });
beforeAll(() => project(documents, orderViews, [...history, ...unordered]));
afterAll(() => documents[Symbol.asyncDispose]());

type AsOf = NonNullable<MessageInitShape<typeof GetOrderAsOfRequestSchema>["asOf"]>;

function asOf(past: AsOf, orderId = "order-1", paths: readonly string[] = []) {
  return getOrderAsOf(documents, create(GetOrderAsOfRequestSchema, { orderId, asOf: past, readMask: { paths: [...paths] } }));
}

function atTime(time: string, orderId?: string) {
  return asOf({ case: "time", value: timestampFromDate(new Date(`2026-03-01T${time}Z`)) }, orderId);
}

function atVersion(version: number, orderId?: string) {
  return asOf({ case: "version", value: version }, orderId);
}

describe("an order at a version", () => {
  it.each([1, 2, 99, 100, 101, 200, 201, changes + 1, changes + 2])("is what its view showed then: %i", async (version) => {
    const order = documentsAfter(orders, history.slice(0, version)).get("order-1");
    expect(order?.version).toBe(version);
    expect(await atVersion(version)).toEqual({ order });
  });

  it("that it has not reached is not there", async () => {
    expect(await atVersion(changes + 3)).toMatchObject({
      notFound: { reason: "VERSION_NOT_REACHED", metadata: { version: String(changes + 2) } },
    });
  });
});

describe("an order at a time", () => {
  it.each([
    ["the moment of its creation", "10:00:00", 1],
    ["between two events", "10:01:59.999", 2],
    ["the moment of an event", "10:02:00", 3],
    ["after its last event", "23:59:59", changes + 2],
  ])("is what its view showed then: %s", async (_when, time, version) => {
    expect(await atTime(time)).toEqual(await atVersion(version));
  });

  it("before its creation is not there", async () => {
    expect(await atTime("09:59:59.999")).toMatchObject({
      notFound: { reason: "ORDER_NOT_YET_CREATED", metadata: { created_at: "2026-03-01T10:00:00.000Z" } },
    });
  });

  it("shows nothing that happened later, also if an event says that it happened before the one before it", async () => {
    const versionAt = async (time: string) => {
      const answer = await atTime(time, "unordered");
      return "order" in answer ? answer.order.version : answer.notFound.reason;
    };
    expect([await versionAt("11:30:00"), await versionAt("12:00:00")]).toEqual([1, 3]);
  });
});

it("an order that is not there has no past either", async () => {
  expect(await atVersion(1, "order")).toMatchObject({ notFound: { reason: "ORDER_NOT_FOUND" } });
  expect(await atTime("10:00:00", "order")).toMatchObject({ notFound: { reason: "ORDER_NOT_FOUND" } });
});

it("a read mask leaves the fields that were asked for", async () => {
  const answer = await asOf({ case: "version", value: 1 }, "order-1", ["status"]);
  expect(answer).toMatchObject({ order: { orderId: "", version: 0, status: OrderStatus.DRAFT } });
});
