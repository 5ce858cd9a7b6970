import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatPageToken, listHash, PageTokenError } from "../../cqrs/query/page-token.ts";
import { ReadMaskError } from "../../cqrs/query/read-mask.ts";
import { type EmbeddedDocuments, openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderSchema, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import {
  GetCustomerSummaryRequestSchema,
  GetOrderRequestSchema,
  ListDailySalesRequestSchema,
  ListOrderEventsRequestSchema,
  ListOrdersRequestSchema,
  type ListOrdersResponse,
  ListOrdersResponseSchema,
  OrderSort,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders as ordersView } from "../projection/order.ts";
import { eur, type Facts, historyOf, line, project } from "../projection/testing/events.ts";
import { orderViews } from "../projection/views.ts";
import { getCustomerSummary } from "./get-customer-summary.ts";
import { getOrder } from "./get-order.ts";
import { listDailySales } from "./list-daily-sales.ts";
import { listOrderEvents } from "./list-order-events.ts";
import { listOrders } from "./list-orders.ts";
import { orderQueries } from "./queries.ts";

const paged = 600;

/** Three orders that differ in everything, and many that differ in nothing but their ids. */
const events: readonly OrderEvent[] = [
  ...orderOf({
    orderId: "lamp-1",
    customerId: "ann",
    occurredAt: "2026-01-01T00:00:00Z",
    currencyCode: "EUR",
    price: 500n,
    sku: "LAMP-42",
  }),
  ...orderOf(
    { orderId: "desk-1", customerId: "bob", occurredAt: "2026-01-02T00:00:00Z", currencyCode: "USD", price: 900n, sku: "DESK-42" },
    [{ case: "orderPlaced", value: { total: { currencyCode: "USD", minorUnits: 900n }, quantity: 1n } }],
  ),
  ...orderOf(
    { orderId: "sofa-1", customerId: "ann", occurredAt: "2026-01-03T00:00:00Z", currencyCode: "EUR", price: 100n, sku: "SOFA-7" },
    [
      { case: "orderPlaced", value: { total: eur(100n), quantity: 1n } },
      { case: "paymentRecorded", value: { paymentId: "p", amount: eur(100n), balance: eur(0n) } },
    ],
  ),
  ...Array.from({ length: paged }, (_, index) =>
    orderOf({ orderId: `tie-n${index}`, customerId: "tie", occurredAt: "2025-06-01T00:00:00Z", currencyCode: "GBP", price: 5n, sku: "X" }),
  ).flat(),
];

const documents = await openEmbeddedDocuments({ inMemory: true });
beforeAll(() => project(documents, orderViews, events));
afterAll(() => documents[Symbol.asyncDispose]());

type OrdersInit = MessageInitShape<typeof ListOrdersRequestSchema>;

describe("an order", () => {
  it("is found by its id", async () => {
    const order = await getOrder(documents, create(GetOrderRequestSchema, { orderId: "sofa-1" }));
    expect(order).toMatchObject({ order: { orderId: "sofa-1", version: 3, status: OrderStatus.PAID, paid: eur(100n) } });
  });

  it("that is not there is not found", async () => {
    const answer = await getOrder(documents, create(GetOrderRequestSchema, { orderId: "sofa" }));
    expect(answer).toMatchObject({ notFound: { reason: "ORDER_NOT_FOUND" } });
  });
});

describe("a read mask", () => {
  it("leaves the fields that were asked for, of an order and of each order of a list", async () => {
    const readMask = { paths: ["order_id", "total.minor_units"] };
    const order = create(OrderSchema, { orderId: "sofa-1", total: { minorUnits: 100n } });
    expect(await getOrder(documents, create(GetOrderRequestSchema, { orderId: "sofa-1", readMask }))).toEqual({ order });
    expect((await orders({ filter: { customerId: "ann" }, readMask })).orders).toEqual([
      order,
      create(OrderSchema, { orderId: "lamp-1", total: { minorUnits: 500n } }),
    ]);
  });

  it("may differ from page to page", async () => {
    const { nextPageToken } = await orders({ filter: { customerId: "ann" }, pageSize: 1, readMask: { paths: ["status"] } });
    expect(idsOf(await orders({ filter: { customerId: "ann" }, pageToken: nextPageToken, readMask: { paths: ["order_id"] } }))).toEqual([
      "lamp-1",
    ]);
  });

  it("with a path that leads nowhere is refused", async () => {
    await expect(orders({ readMask: { paths: ["colour"] } })).rejects.toThrow(ReadMaskError);
  });
});

describe("a list of orders has those", () => {
  it.each<[what: string, filter: NonNullable<OrdersInit["filter"]>, ids: string[]]>([
    ["of a customer", { customerId: "ann" }, ["sofa-1", "lamp-1"]],
    ["in a status", { statuses: [OrderStatus.PLACED] }, ["desk-1"]],
    ["in one of some statuses", { statuses: [OrderStatus.PAID, OrderStatus.PLACED, OrderStatus.PAID] }, ["sofa-1", "desk-1"]],
    ["in a status that no order has", { statuses: [OrderStatus.UNSPECIFIED] }, []],
    ["created at or after", { createdFrom: at("2026-01-02T00:00:00Z") }, ["sofa-1", "desk-1"]],
    ["created before", { createdFrom: at("2026-01-01T00:00:00Z"), createdUntil: at("2026-01-03T00:00:00Z") }, ["desk-1", "lamp-1"]],
    ["created before the end of time", { customerId: "ann", createdUntil: { seconds: 2n ** 62n, nanos: 0 } }, ["sofa-1", "lamp-1"]],
    ["of at least an amount", { totalFromMinorUnits: 500n }, ["desk-1", "lamp-1"]],
    ["of at most an amount", { totalFromMinorUnits: 6n, totalToMinorUnits: 500n }, ["sofa-1", "lamp-1"]],
    ["of at most nothing", { totalToMinorUnits: 0n }, []],
    ["in a currency", { currencyCode: "USD" }, ["desk-1"]],
    ["with a word", { text: "42" }, ["desk-1", "lamp-1"]],
    ["with all words, whatever their case and order", { text: "ANN lamp" }, ["lamp-1"]],
    ["with an id that consists of words", { text: "Desk-1" }, ["desk-1"]],
    ["with whole words only", { text: "lam" }, []],
    ["with words that no order has together", { text: "lamp desk" }, []],
    ["that meet all conditions", { customerId: "ann", statuses: [OrderStatus.PAID], text: "sofa", currencyCode: "EUR" }, ["sofa-1"]],
    ["that meet all conditions but one", { customerId: "bob", statuses: [OrderStatus.PAID] }, []],
  ])("%s", async (_what, filter, ids) => {
    expect(idsOf(await orders({ filter }))).toEqual(ids);
  });

  it.each<[what: string, text: string]>([
    ["no words", " -- "],
    ["a gift alone", "🎁"],
    ["a NUL", "\0"],
    ["33 words", Array.from({ length: 33 }, (_, index) => `w${index}`).join(" ")],
    ["34 Chinese characters", "一丁七万丈三上下不与丐丑专且丕世丘丙业丛东丝丞丢两严丧个中丰串临丸丹"],
  ])("unless the text has %s: then it is refused", async (_what, text) => {
    await expect(orders({ filter: { text } })).rejects.toMatchObject({ name: "QueryArgumentError", field: "filter.text" });
  });
});

describe("a list of orders is sorted", () => {
  it.each<[how: string, sort: OrderSort, ids: string[]]>([
    ["newest first unless told otherwise", OrderSort.UNSPECIFIED, ["sofa-1", "desk-1", "lamp-1"]],
    ["newest first", OrderSort.NEWEST_FIRST, ["sofa-1", "desk-1", "lamp-1"]],
    ["oldest first", OrderSort.OLDEST_FIRST, ["lamp-1", "desk-1", "sofa-1"]],
    ["largest first", OrderSort.LARGEST_FIRST, ["desk-1", "lamp-1", "sofa-1"]],
    ["recently updated first", OrderSort.RECENTLY_UPDATED_FIRST, ["sofa-1", "desk-1", "lamp-1"]],
  ])("%s", async (_how, sort, ids) => {
    expect(idsOf(await orders({ sort, filter: { createdFrom: at("2026-01-01T00:00:00Z") } }))).toEqual(ids);
  });
});

describe("a page of large orders", () => {
  const description = "€".repeat(256);
  const orderCount = 16;
  let own: EmbeddedDocuments;
  beforeAll(async () => {
    own = await openEmbeddedDocuments({ inMemory: true });
    const lines = Array.from({ length: 500 }, (_, index) => ({ ...line(`${index}`, 1, 1n), description }));
    const created = Array.from({ length: orderCount }, (_, index) =>
      historyOf([{ case: "orderCreated", value: { currencyCode: "EUR", lines } }], { orderId: `large-${index}` }),
    );
    await project(own, [ordersView], created.flat());
  });
  afterAll(() => own[Symbol.asyncDispose]());
  const pagesOf = async (init: OrdersInit): Promise<readonly ListOrdersResponse[]> => {
    const pages: ListOrdersResponse[] = [];
    let pageToken = "";
    do {
      const page = await listOrders(own, create(ListOrdersRequestSchema, { ...init, pageToken }));
      pages.push(create(ListOrdersResponseSchema, page));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return pages;
  };

  it("ends before it is more than clients take, and the next goes on behind it", async () => {
    const pages = await pagesOf({ pageSize: 500 });
    expect(new Set(pages.flatMap((page) => page.orders).map(({ orderId }) => orderId)).size).toBe(orderCount);
    for (const page of pages) expect(toBinary(ListOrdersResponseSchema, page).length).toBeLessThan(4 * 1024 * 1024 - 64 * 1024);
    expect(pages.length).toBeGreaterThan(1);
  });

  it("has more of them, if it has only parts", async () => {
    const pages = await pagesOf({ pageSize: 500, readMask: { paths: ["order_id"] } });
    expect(pages.map((page) => page.orders.length)).toEqual([orderCount]);
    const heavy = await pagesOf({ pageSize: 500, readMask: { paths: ["order_id", "lines"] } });
    expect(heavy.flatMap((page) => page.orders)).toHaveLength(orderCount);
    for (const page of heavy) expect(toBinary(ListOrdersResponseSchema, page).length).toBeLessThan(4 * 1024 * 1024 - 64 * 1024);
  });
});

describe("a page", () => {
  it.each([
    ["has 50 orders by default", 0, 50],
    ["has as many as asked for", 7, 7],
    ["has at most 500", 501, 500],
  ])("%s", async (_what, pageSize, size) => {
    expect((await orders({ filter: { customerId: "tie" }, pageSize })).orders).toHaveLength(size);
  });

  it.each(Object.entries(OrderSort))(
    "follows page until all orders were there once, even if all compare equal: %s",
    async (_name, sort) => {
      const ids = idsOf(await allOrders({ sort, pageSize: 97 }));
      expect(ids).toHaveLength(paged + 3);
      expect(new Set(ids).size).toBe(ids.length);
    },
  );

  it.each<OrdersInit>([
    { filter: { customerId: "tie" } },
    { filter: { text: "tie" } },
    { filter: { text: "tie x" }, sort: OrderSort.LARGEST_FIRST },
    { filter: { statuses: [OrderStatus.DRAFT], customerId: "tie" } },
    { filter: { statuses: [OrderStatus.DRAFT, OrderStatus.PAID], currencyCode: "GBP" }, sort: OrderSort.RECENTLY_UPDATED_FIRST },
  ])("follows page until all orders that meet the conditions were there once: %j", async (request) => {
    const ids = idsOf(await allOrders({ ...request, pageSize: 97 }));
    expect(ids).toHaveLength(paged);
    expect(new Set(ids).size).toBe(paged);
  });

  it("is the last one if nothing is left behind it", async () => {
    expect((await orders({ filter: { customerId: "ann" }, pageSize: 2 })).nextPageToken).toBe("");
    expect((await orders({ filter: { customerId: "ann" }, pageSize: 1 })).nextPageToken).not.toBe("");
  });

  it("may be of another size than the page before, and asked for with another consistency token", async () => {
    const { nextPageToken } = await orders({ filter: { customerId: "ann" }, pageSize: 1 });
    const request = { filter: { customerId: "ann" }, pageSize: 9, pageToken: nextPageToken, consistencyToken: "x" };
    expect(idsOf(await orders(request))).toEqual(["lamp-1"]);
  });

  it.each<[what: string, request: OrdersInit]>([
    ["another filter", { filter: { customerId: "bob" } }],
    ["another sort", { filter: { customerId: "tie" }, sort: OrderSort.OLDEST_FIRST }],
    ["no filter", {}],
  ])("of a list with %s is refused", async (_what, request) => {
    const { nextPageToken } = await orders({ filter: { customerId: "tie" } });
    await expect(orders({ ...request, pageToken: nextPageToken })).rejects.toThrow(
      "page_token belongs to a list with another filter or order",
    );
  });

  it("of another kind of list is refused", async () => {
    const { nextPageToken } = await listOrderEvents(documents, create(ListOrderEventsRequestSchema, { orderId: "sofa-1", pageSize: 1 }));
    await expect(orders({ pageToken: nextPageToken })).rejects.toThrow(PageTokenError);
    await expect(listDailySales(documents, create(ListDailySalesRequestSchema, { pageToken: nextPageToken }))).rejects.toThrow(
      PageTokenError,
    );
  });

  it("of another kind of list is refused, even if both requests are encoded alike", async () => {
    const history = listHash(ListOrderEventsRequestSchema, create(ListOrderEventsRequestSchema, { orderId: "2026-01-01" }));
    const request = { fromDay: "2026-01-01", pageToken: formatPageToken(history, [1, "2026-01-02/EUR"]) };
    await expect(listDailySales(documents, create(ListDailySalesRequestSchema, request))).rejects.toThrow("another filter or order");
  });

  it("that starts wherever a client made up is an answer or a PageTokenError", async () => {
    const list = listHash(ListOrdersRequestSchema, create(ListOrdersRequestSchema));
    const value = fc.oneof(
      fc.string(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.date({ noInvalidDate: true }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 4 }), async (after) => {
        const answer = await orders({ pageToken: formatPageToken(list, after), pageSize: 1 }).catch((error: unknown) => error);
        expect(answer instanceof PageTokenError || Array.isArray((answer as { orders?: unknown }).orders)).toBe(true);
      }),
    );
  });

  it("is refused if its start has too few values", async () => {
    const list = listHash(ListOrdersRequestSchema, create(ListOrdersRequestSchema));
    await expect(orders({ pageToken: formatPageToken(list, ["lamp-1"]) })).rejects.toThrow(PageTokenError);
  });
});

describe("an order's history", () => {
  it("has its events, oldest first, page by page", async () => {
    const first = await listOrderEvents(documents, create(ListOrderEventsRequestSchema, { orderId: "sofa-1", pageSize: 2 }));
    expect(first.events.map(({ event }) => event.case)).toEqual(["orderCreated", "orderPlaced"]);
    const request = { orderId: "sofa-1", pageSize: 2, pageToken: first.nextPageToken };
    const second = await listOrderEvents(documents, create(ListOrderEventsRequestSchema, request));
    expect(second.events).toEqual(events.filter(({ metadata }) => metadata?.aggregateId === "sofa-1").slice(2));
    expect(second.nextPageToken).toBe("");
  });
});

describe("a customer's summary", () => {
  it("is found by the customer", async () => {
    const answer = await getCustomerSummary(documents, create(GetCustomerSummaryRequestSchema, { customerId: "ann" }));
    const totals = [{ currencyCode: "EUR", orderCount: 1n, paidMinorUnits: 100n }];
    expect(answer).toMatchObject({ summary: { totals, firstOrderAt: at("2026-01-01T00:00:00Z") } });
  });

  it("is not there before the customer did anything", async () => {
    const answer = await getCustomerSummary(documents, create(GetCustomerSummaryRequestSchema, { customerId: "zoe" }));
    expect(answer).toMatchObject({ notFound: { reason: "CUSTOMER_NOT_FOUND" } });
  });
});

describe("daily sales", () => {
  it.each<[what: string, request: MessageInitShape<typeof ListDailySalesRequestSchema>, days: string[]]>([
    ["of all days, oldest first", {}, ["2026-01-02 USD", "2026-01-03 EUR"]],
    ["from a day on", { fromDay: "2026-01-03" }, ["2026-01-03 EUR"]],
    ["up to a day", { toDay: "2026-01-02" }, ["2026-01-02 USD"]],
    ["of one day", { fromDay: "2026-01-03", toDay: "2026-01-03" }, ["2026-01-03 EUR"]],
    ["in a currency", { currencyCode: "USD" }, ["2026-01-02 USD"]],
  ])("%s", async (_what, request, expected) => {
    const { days, nextPageToken } = await listDailySales(documents, create(ListDailySalesRequestSchema, request));
    expect(days.map(({ day, totals }) => `${day} ${totals?.currencyCode}`)).toEqual(expected);
    expect(nextPageToken).toBe("");
  });

  it("come page by page", async () => {
    const first = await listDailySales(documents, create(ListDailySalesRequestSchema, { pageSize: 1 }));
    const request = { pageSize: 1, pageToken: first.nextPageToken };
    const second = await listDailySales(documents, create(ListDailySalesRequestSchema, request));
    expect([first, second].flatMap(({ days }) => days.map(({ day }) => day))).toEqual(["2026-01-02", "2026-01-03"]);
  });
});

it("every query names the view whose freshness counts", () => {
  expect(Object.fromEntries(Object.entries(orderQueries).map(([name, { view }]) => [name, view.name]))).toEqual({
    getOrder: "orders",
    getOrderAsOf: "order-history",
    listOrders: "orders",
    listOrderEvents: "order-history",
    getCustomerSummary: "customer-summary",
    listDailySales: "daily-sales",
    listProductSales: "product-sales",
    listCountrySales: "country-sales",
    getOrderCounts: "order-counts",
  });
});

interface OrderFacts {
  readonly orderId: string;
  readonly customerId: string;
  readonly occurredAt: string;
  readonly currencyCode: string;
  readonly price: bigint;
  readonly sku: string;
}

function orderOf({ currencyCode, price, sku, ...circumstances }: OrderFacts, more: readonly Facts[] = []): OrderEvent[] {
  const lines = [{ ...line("1", 1, 0n, sku), unitPrice: { currencyCode, minorUnits: price } }];
  const { customerId } = circumstances;
  return historyOf([{ case: "orderCreated", value: { customerId, currencyCode, lines } }, ...more], circumstances);
}

function orders(request: OrdersInit) {
  return listOrders(documents, create(ListOrdersRequestSchema, request));
}

async function allOrders(request: OrdersInit) {
  const first = await orders(request);
  const all = [...first.orders];
  for (let pageToken = first.nextPageToken; pageToken !== ""; ) {
    const next = await orders({ ...request, pageToken });
    all.push(...next.orders);
    pageToken = next.nextPageToken;
  }
  return { orders: all };
}

function idsOf({ orders: found }: { readonly orders: readonly { readonly orderId: string }[] }): string[] {
  return found.map(({ orderId }) => orderId);
}

function at(iso: string) {
  return timestampFromDate(new Date(iso));
}
