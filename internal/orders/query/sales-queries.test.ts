import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PageTokenError } from "../../cqrs/query/page-token.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import {
  GetOrderCountsRequestSchema,
  ListCountrySalesRequestSchema,
  ListProductSalesRequestSchema,
  SalesSort,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { eventOf, line, project } from "../projection/testing/events.ts";
import { orderViews } from "../projection/views.ts";
import { getOrderCounts } from "./get-order-counts.ts";
import { listCountrySales, listProductSales } from "./list-sales.ts";

const events = [
  placed("a", "PT", "EUR", { tea: [5, 10n], cup: [1, 300n] }),
  placed("b", "FR", "EUR", { tea: [2, 10n], pot: [2, 90n] }),
  placed("c", "PT", "USD", { tea: [1, 900n] }),
];

const documents = await openEmbeddedDocuments({ inMemory: true });
beforeAll(() => project(documents, orderViews, events));
afterAll(() => documents[Symbol.asyncDispose]());

type ProductsInit = MessageInitShape<typeof ListProductSalesRequestSchema>;

const { NAME, LARGEST_QUANTITY_FIRST, LARGEST_AMOUNT_FIRST } = SalesSort;

describe("sales per product", () => {
  it.each<[what: string, request: ProductsInit, found: string[]]>([
    ["by name, then by currency", {}, ["cup EUR", "pot EUR", "tea EUR", "tea USD"]],
    ["by name, said so", { sort: NAME }, ["cup EUR", "pot EUR", "tea EUR", "tea USD"]],
    ["in a currency", { currencyCode: "EUR" }, ["cup EUR", "pot EUR", "tea EUR"]],
    ["most items first", { currencyCode: "EUR", sort: LARGEST_QUANTITY_FIRST }, ["tea EUR", "pot EUR", "cup EUR"]],
    ["largest amount first", { currencyCode: "EUR", sort: LARGEST_AMOUNT_FIRST }, ["cup EUR", "pot EUR", "tea EUR"]],
    ["of one product", { sku: "tea" }, ["tea EUR", "tea USD"]],
    ["of one product in a currency", { sku: "tea", currencyCode: "USD", sort: LARGEST_AMOUNT_FIRST }, ["tea USD"]],
    ["of a product that nobody bought", { sku: "lamp" }, []],
  ])("%s", async (_what, request, found) => {
    expect(namesOf(await products(request))).toEqual(found);
  });

  it("come page by page in every order", async () => {
    for (const sort of [NAME, LARGEST_QUANTITY_FIRST, LARGEST_AMOUNT_FIRST]) {
      const request = { currencyCode: "EUR", sort, pageSize: 2 };
      const first = await products(request);
      const second = await products({ ...request, pageToken: first.nextPageToken });
      expect([...namesOf(first), ...namesOf(second)]).toEqual(namesOf(await products({ ...request, pageSize: 0 })));
      expect(second.nextPageToken).toBe("");
    }
  });

  it("refuse the page of another list", async () => {
    const { nextPageToken } = await products({ pageSize: 1 });
    await expect(products({ currencyCode: "EUR", pageToken: nextPageToken })).rejects.toThrow(PageTokenError);
    await expect(listCountrySales(documents, create(ListCountrySalesRequestSchema, { pageToken: nextPageToken }))).rejects.toThrow(
      PageTokenError,
    );
  });
});

it("sales per country are found like those per product", async () => {
  const list = async (request: MessageInitShape<typeof ListCountrySalesRequestSchema>) => {
    const { countries } = await listCountrySales(documents, create(ListCountrySalesRequestSchema, request));
    return countries.map(({ country, totals, remainingMinorUnits }) => `${country} ${totals?.currencyCode} ${remainingMinorUnits}`);
  };
  expect(await list({})).toEqual(["FR EUR 200", "PT EUR 350", "PT USD 900"]);
  expect(await list({ currencyCode: "EUR", sort: LARGEST_AMOUNT_FIRST })).toEqual(["PT EUR 350", "FR EUR 200"]);
  expect(await list({ country: "PT" })).toEqual(["PT EUR 350", "PT USD 900"]);
});

it("orders are counted by status, and are none where there is no order", async () => {
  const request = create(GetOrderCountsRequestSchema);
  expect((await getOrderCounts(documents, request)).counts.statuses).toMatchObject([{ status: OrderStatus.PLACED, orderCount: 3n }]);
  await using empty = await openEmbeddedDocuments({ inMemory: true });
  expect((await getOrderCounts(empty, request)).counts.statuses).toEqual([]);
});

function products(request: ProductsInit) {
  return listProductSales(documents, create(ListProductSalesRequestSchema, request));
}

function namesOf({ products: found }: Awaited<ReturnType<typeof listProductSales>>): string[] {
  return found.map(({ sku, totals }) => `${sku} ${totals?.currencyCode}`);
}

type Items = Readonly<Record<string, readonly [quantity: number, price: bigint]>>;

/** An order that is placed with its first event. */
function placed(orderId: string, salesCountry: string, currencyCode: string, items: Items): OrderEvent {
  const lines = Object.entries(items).map(([sku, [quantity, minorUnits]], index) => ({
    ...line(String(index), quantity, 0n, sku),
    unitPrice: { currencyCode, minorUnits },
  }));
  const sum = (value: (line: (typeof lines)[number]) => bigint) => lines.reduce((all, each) => all + value(each), 0n);
  const total = { currencyCode, minorUnits: sum(({ quantity, unitPrice }) => BigInt(quantity) * unitPrice.minorUnits) };
  const value = { total, quantity: sum(({ quantity }) => BigInt(quantity)), lines };
  return { ...eventOf({ case: "orderPlaced", value }, { orderId }), salesCountry, status: OrderStatus.PLACED };
}
