/** How MongoDB runs the queries of orders: what its profiler says after they ran through the real views. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Db, MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Find } from "../../internal/cqrs/documents.ts";
import { partitionField, sequenceField } from "../../internal/cqrs/query/event-tail.ts";
import { connectMongoDocuments, type MongoDocuments } from "../../internal/documents/mongo/connect.ts";
import { OrderStatus } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import {
  GetCustomerSummaryRequestSchema,
  GetOrderAsOfRequestSchema,
  GetOrderCountsRequestSchema,
  GetOrderRequestSchema,
  ListCountrySalesRequestSchema,
  ListDailySalesRequestSchema,
  ListOrderEventsRequestSchema,
  ListOrdersRequestSchema,
  ListProductSalesRequestSchema,
  OrderSort,
  SalesSort,
} from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orderHistory } from "../../internal/orders/projection/order-history.ts";
import { eur, historyOf, line, project } from "../../internal/orders/projection/testing/events.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { getCustomerSummary } from "../../internal/orders/query/get-customer-summary.ts";
import { getOrder } from "../../internal/orders/query/get-order.ts";
import { getOrderAsOf } from "../../internal/orders/query/get-order-as-of.ts";
import { getOrderCounts } from "../../internal/orders/query/get-order-counts.ts";
import { listDailySales } from "../../internal/orders/query/list-daily-sales.ts";
import { listOrderEvents } from "../../internal/orders/query/list-order-events.ts";
import { listOrders } from "../../internal/orders/query/list-orders.ts";
import { listCountrySales, listProductSales } from "../../internal/orders/query/list-sales.ts";
import { type MongoServer, startMongo } from "../support/mongo-server.ts";
import { mongo } from "../support/servers.ts";

const orderCount = 300;
const pageSize = 10;
const database = "plans";

const firstVersion = { case: "version", value: 1 } as const;
const firstHour = { case: "time", value: at("2026-01-04T01:00:00Z") } as const;

type Filter = NonNullable<MessageInitShape<typeof ListOrdersRequestSchema>["filter"]>;

/** What the profiler notes of a query. */
interface Profile {
  readonly planSummary: string;
  readonly keysExamined: number;
  readonly docsExamined: number;
  readonly hasSortStage?: boolean;
}

describe.skipIf(mongo === undefined)("the plans of MongoDB", () => {
  let server: MongoServer;
  let documents: MongoDocuments;
  let client: MongoClient;
  let db: Db;

  beforeAll(async () => {
    server = await startMongo();
    client = new MongoClient(server.uri);
    db = client.db(database);
    await db.dropDatabase();
    documents = await connectMongoDocuments({ uri: server.uri, database });
    await project(documents, orderViews, Array.from({ length: orderCount }, (_, index) => eventsOf(index)).flat());
  });
  afterAll(async () => {
    await db.dropDatabase();
    await client.close();
    await documents[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Runs queries and returns what the profiler noted of them. */
  async function profiles(run: () => Promise<unknown>): Promise<readonly Profile[]> {
    // What the profiler has noted before is thrown away: by the time alone, a query of the same millisecond could not be told apart.
    await db.command({ profile: 0 });
    await db.collection("system.profile").drop();
    await db.command({ profile: 2 });
    await run();
    const found = await db
      .collection("system.profile")
      .find({ op: "query", ns: { $ne: `${database}.system.profile` } })
      .toArray();
    return found as unknown as readonly Profile[];
  }

  it("has every index that the views declare", async () => {
    const collections = orderViews.map((view) => view.collection);
    expect(await documents.missingIndexes(collections)).toEqual([]);
    const [first] = collections;
    const renamed = { name: first?.name ?? "", indexes: [{ name: "planted", fields: ["planted"] }] };
    expect(await documents.missingIndexes([renamed])).toEqual([{ collection: renamed.name, index: "planted" }]);
  });

  it("a query without an index is seen to read the collection", async () => {
    const [orders = orderViews[0]] = orderViews;
    const query = {
      collection: orders?.collection.name ?? "",
      where: [{ field: "note", op: "eq", value: "x" } as const],
      sort: [],
      limit: 1,
    };
    const [profile] = await profiles(() => documents.find({ ...query, sort: [{ field: "note", descending: true }] }));
    expect(profile?.planSummary).toBe("COLLSCAN");
  });

  const history = (where: Find["where"], field: string) =>
    documents.find({
      collection: orderHistory.collection.name,
      where: [...where, { field: sequenceField, op: "gt", value: -1 }, { field: sequenceField, op: "lte", value: orderCount }],
      sort: [{ field, descending: false }],
      limit: pageSize,
    });
  const inPartition = { field: partitionField, op: "eq", value: 0 } as const;

  it.each<[title: string, run: () => Promise<unknown>]>([
    ["all events of a partition", () => history([inPartition], sequenceField)],
    ["a customer's events of a partition", () => history([{ field: "customerId", op: "eq", value: "c1" }, inPartition], sequenceField)],
    ["an order's events", () => history([{ field: "metadata.aggregateId", op: "eq", value: "order-7" }], "metadata.version")],
    ["an order", () => getOrder(documents, create(GetOrderRequestSchema, { orderId: "order-7" }))],
    ["a customer's summary", () => getCustomerSummary(documents, create(GetCustomerSummaryRequestSchema, { customerId: "c1" }))],
    ["an order's history", () => listOrderEvents(documents, create(ListOrderEventsRequestSchema, { orderId: "order-7", pageSize }))],
    ["an order at a version", () => getOrderAsOf(documents, create(GetOrderAsOfRequestSchema, { orderId: "order-8", asOf: firstVersion }))],
    ["an order at a time", () => getOrderAsOf(documents, create(GetOrderAsOfRequestSchema, { orderId: "order-8", asOf: firstHour }))],
    ["counts of orders", () => getOrderCounts(documents, create(GetOrderCountsRequestSchema))],
    ["daily sales", () => listDailySales(documents, create(ListDailySalesRequestSchema, { pageSize }))],
    [
      "daily sales of a currency in a time",
      () =>
        listDailySales(
          documents,
          create(ListDailySalesRequestSchema, { fromDay: "2026-01-02", toDay: "2026-01-04", currencyCode: "EUR", pageSize }),
        ),
    ],
  ])("%s: an index, no more than a page", async (_title, run) => {
    const [profile] = await profiles(run);
    expect(profile?.planSummary).toMatch(/^(IXSCAN|IDHACK)/);
    expect(profile?.hasSortStage).toBeUndefined();
    expect(profile?.docsExamined).toBeLessThanOrEqual(pageSize + 1);
  });

  const sales: readonly [title: string, filter: { name?: string; currencyCode?: string }][] = [
    ["all", {}],
    ["of a currency", { currencyCode: "EUR" }],
    ["of a name", { name: "LAMP-42" }],
    ["of a name and a currency", { name: "LAMP-42", currencyCode: "EUR" }],
  ];
  const salesLists = sales.flatMap(([title, filter]) =>
    Object.entries(SalesSort)
      .filter(([, sort]) => sort <= SalesSort.NAME || filter.currencyCode !== undefined)
      .map(([name, sort]) => [title, name, filter, sort] as const),
  );

  it.each(salesLists)("sales %s, %s: walked in the order of an index, no more than a page", async (_title, _sort, filter, sort) => {
    const { name = "", currencyCode = "" } = filter;
    const request = { currencyCode, sort, pageSize };
    const pages = await profiles(async () => {
      const products = (pageToken: string) =>
        listProductSales(documents, create(ListProductSalesRequestSchema, { ...request, sku: name, pageToken }));
      const countries = (pageToken: string) =>
        listCountrySales(documents, create(ListCountrySalesRequestSchema, { ...request, country: name, pageToken }));
      await products((await products("")).nextPageToken);
      await countries((await countries("")).nextPageToken);
    });
    expect(pages.length).toBeGreaterThanOrEqual(4);
    for (const profile of pages) {
      expect(profile.planSummary).toMatch(/^IXSCAN/);
      expect(profile.hasSortStage).toBeUndefined();
      expect(profile.docsExamined).toBeLessThanOrEqual(4 * pageSize);
    }
  });

  const sorts = Object.entries(OrderSort);
  const filters: readonly [title: string, filter: Filter][] = [
    ["all orders", {}],
    ["a customer's orders", { customerId: "c1" }],
    ["orders of a status", { statuses: [OrderStatus.PLACED] }],
    ["orders of two statuses", { statuses: [OrderStatus.PLACED, OrderStatus.DRAFT] }],
    ["orders of a time", { createdFrom: at("2026-01-01T00:00:00Z"), createdUntil: at("2026-01-03T00:00:00Z") }],
    ["orders of an amount", { totalFromMinorUnits: 500n, totalToMinorUnits: 700n }],
    ["orders in a currency", { currencyCode: "EUR" }],
    ["orders with a word", { text: "lamp" }],
    ["orders with two words", { text: "lamp c1" }],
    [
      "orders that meet all conditions",
      { customerId: "c1", statuses: [OrderStatus.PLACED], text: "lamp", currencyCode: "EUR", totalFromMinorUnits: 1n },
    ],
  ];
  const lists = filters.flatMap(([title, filter]) => sorts.map(([name, sort]) => [title, name, filter, sort] as const));

  it.each(lists)("%s, %s: an index, on the first page and the next", async (_title, _name, filter, sort) => {
    const list = (pageToken: string) => listOrders(documents, create(ListOrdersRequestSchema, { filter, sort, pageSize, pageToken }));
    const found = await profiles(async () => list((await list("")).nextPageToken));
    expect(found).toHaveLength(2);
    for (const profile of found) expect(profile.planSummary).toMatch(/^IXSCAN/);
  });

  const walked: readonly [title: string, filter: Filter][] = filters.slice(0, 4).filter(([title]) => !title.startsWith("a customer"));
  const walks = walked.flatMap(([title, filter]) => sorts.map(([name, sort]) => [title, name, filter, sort] as const));

  it.each(walks)("%s, %s: walked in the order of an index, no more than a page", async (_title, _name, filter, sort) => {
    const list = (pageToken: string) => listOrders(documents, create(ListOrdersRequestSchema, { filter, sort, pageSize, pageToken }));
    const found = await profiles(async () => list((await list("")).nextPageToken));
    for (const profile of found) {
      expect(profile.hasSortStage).toBeUndefined();
      expect(profile.docsExamined).toBeLessThanOrEqual(4 * pageSize);
    }
  });
});

/** Orders of five customers, a minute apart; half of them are placed. */
function eventsOf(index: number) {
  const customerId = `c${index % 5}`;
  const occurredAt = new Date(Date.UTC(2026, 0, 1 + (index % 5), 0, index)).toISOString();
  const created = { customerId, currencyCode: "EUR", lines: [line("1", 1, BigInt(index), "LAMP-42")] };
  const lines = [line("1", 1, 0n, "LAMP-42"), line("2", 1, BigInt(index % 7), `SKU-${index}`)];
  const placed = { case: "orderPlaced", value: { total: eur(BigInt(index)), quantity: 1n, lines } } as const;
  const events = historyOf([{ case: "orderCreated", value: created }, ...(index % 2 === 0 ? [placed] : [])], {
    orderId: `order-${index}`,
    customerId,
    occurredAt,
  });
  return events.map((event) => ({ ...event, salesCountry: `country ${index}`, status: OrderStatus.PLACED }));
}

function at(iso: string) {
  return timestampFromDate(new Date(iso));
}
