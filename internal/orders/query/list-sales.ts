/** Lists of sales per product and per country: the same query of two views. */

import type { Condition, DocumentReader, Find } from "../../cqrs/documents.ts";
import { findPage, type PageSizes } from "../../cqrs/query/find-page.ts";
import {
  type CountrySales,
  type ListCountrySalesRequest,
  ListCountrySalesRequestSchema,
  type ListProductSalesRequest,
  ListProductSalesRequestSchema,
  type ProductSales,
  SalesSort,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { countrySales } from "../projection/country-sales.ts";
import { productSales } from "../projection/product-sales.ts";

const pageSizes: PageSizes = { default: 100, maximum: 1000 };

listProductSales.view = productSales;
listCountrySales.view = countrySales;

/** @throws {PageTokenError} the page token does not belong to this list */
export async function listProductSales(
  documents: DocumentReader,
  request: ListProductSalesRequest,
): Promise<{ readonly products: ProductSales[]; readonly nextPageToken: string }> {
  const query = queryOf({ name: "sku", value: request.sku }, request);
  const list = { view: productSales, schema: ListProductSalesRequestSchema, request, pageSizes, ...query };
  const { items, nextPageToken } = await findPage(documents, list);
  return { products: items, nextPageToken };
}

/** @throws {PageTokenError} the page token does not belong to this list */
export async function listCountrySales(
  documents: DocumentReader,
  request: ListCountrySalesRequest,
): Promise<{ readonly countries: CountrySales[]; readonly nextPageToken: string }> {
  const query = queryOf({ name: "country", value: request.country }, request);
  const list = { view: countrySales, schema: ListCountrySalesRequestSchema, request, pageSizes, ...query };
  const { items, nextPageToken } = await findPage(documents, list);
  return { countries: items, nextPageToken };
}

interface Subject {
  readonly name: string;
  /** Empty: all of them. */
  readonly value: string;
}

interface SalesRequest {
  readonly currencyCode: string;
  readonly sort: SalesSort;
}

function queryOf({ name, value }: Subject, { currencyCode, sort }: SalesRequest): Pick<Find, "where" | "sort"> {
  const where: Condition[] = [];
  if (value !== "") where.push({ field: name, op: "eq", value });
  if (currencyCode !== "") where.push({ field: "totals.currencyCode", op: "eq", value: currencyCode });
  // The ids of one name sort by currency. By quantity or amount, its few documents would be looked for among all of the currency.
  return { where, sort: value === "" ? sortOf(sort, name) : [] };
}

function sortOf(sort: SalesSort, name: string): Find["sort"] {
  switch (sort) {
    case SalesSort.LARGEST_QUANTITY_FIRST:
      return [{ field: "remainingQuantity", descending: true }];
    case SalesSort.LARGEST_AMOUNT_FIRST:
      return [{ field: "remainingMinorUnits", descending: true }];
    case SalesSort.NAME:
    case SalesSort.UNSPECIFIED:
    default: // The type is open, but the request's rules let no other value through.
      return [{ field: name, descending: false }];
  }
}
