/** How SQLite runs the queries of orders that the real views serve. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { DocumentReader, Find } from "../../internal/cqrs/documents.ts";
import { openStore, type Store } from "../../internal/documents/embedded/store.ts";
import {
  GetOrderAsOfRequestSchema,
  ListCountrySalesRequestSchema,
  ListDailySalesRequestSchema,
  ListOrderEventsRequestSchema,
  ListProductSalesRequestSchema,
  SalesSort,
} from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { getOrderAsOf } from "../../internal/orders/query/get-order-as-of.ts";
import { listDailySales } from "../../internal/orders/query/list-daily-sales.ts";
import { listOrderEvents } from "../../internal/orders/query/list-order-events.ts";
import { listCountrySales, listProductSales } from "../../internal/orders/query/list-sales.ts";

let store: Store;

beforeAll(() => {
  store = openStore({ path: ":memory:", readOnly: false });
  store.prepare(orderViews.map(({ collection }) => collection));
});
afterAll(() => store.close());

const { NAME, LARGEST_QUANTITY_FIRST, LARGEST_AMOUNT_FIRST } = SalesSort;
const order = { orderId: "order-1" };
const first = { case: "version", value: 1 } as const;
const inEuros = { currencyCode: "EUR" };

it.each<[title: string, index: string, run: (documents: DocumentReader) => Promise<unknown>]>([
  ["an order's history", "order-history.v2:order", (documents) => listOrderEvents(documents, create(ListOrderEventsRequestSchema, order))],
  [
    "an order at a version",
    "order-history.v2:order",
    (documents) => getOrderAsOf(documents, create(GetOrderAsOfRequestSchema, { ...order, asOf: first })),
  ],
  ["daily sales", "daily-sales.v1:day", (documents) => listDailySales(documents, create(ListDailySalesRequestSchema))],
  ["products by name", "product-sales.v1:name", products({ sort: NAME })],
  ["one product", "product-sales.v1:name", products({ sku: "tea" })],
  ["products of a currency", "product-sales.v1:currency-name", products(inEuros)],
  ["most items first", "product-sales.v1:currency-quantity", products({ ...inEuros, sort: LARGEST_QUANTITY_FIRST })],
  ["largest amount first", "product-sales.v1:currency-amount", products({ ...inEuros, sort: LARGEST_AMOUNT_FIRST })],
  ["one product in a currency", "product-sales.v1:currency-name", products({ ...inEuros, sku: "tea", sort: LARGEST_AMOUNT_FIRST })],
  [
    "the countries with the largest amount",
    "country-sales.v1:currency-amount",
    (documents) => listCountrySales(documents, create(ListCountrySalesRequestSchema, { ...inEuros, sort: LARGEST_AMOUNT_FIRST })),
  ],
])("%s: walks an index and sorts nothing", async (_title, index, run) => {
  const queries: Find[] = [];
  await run({
    load: async () => [],
    async find(query) {
      queries.push(query);
      return { documents: [] };
    },
  });
  const plans = queries.map((query) => store.explain(query).join("\n"));
  expect(plans).toEqual([expect.stringContaining(`index:${index}`)]);
  for (const plan of plans) expect(plan).not.toMatch(/TEMP B-TREE|SCAN doc$/m);
});

function products(request: MessageInitShape<typeof ListProductSalesRequestSchema>) {
  return (documents: DocumentReader) => listProductSales(documents, create(ListProductSalesRequestSchema, request));
}
