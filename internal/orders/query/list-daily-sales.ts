import type { Condition, DocumentReader } from "../../cqrs/documents.ts";
import { findPage, type PageSizes } from "../../cqrs/query/find-page.ts";
import {
  type DailySales,
  type ListDailySalesRequest,
  ListDailySalesRequestSchema,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { dailySales } from "../projection/daily-sales.ts";

const pageSizes: PageSizes = { default: 100, maximum: 1000 };

listDailySales.view = dailySales;

/** @throws {PageTokenError} the page token does not belong to this list */
export async function listDailySales(
  documents: DocumentReader,
  request: ListDailySalesRequest,
): Promise<{ readonly days: DailySales[]; readonly nextPageToken: string }> {
  const { items, nextPageToken } = await findPage(documents, {
    view: dailySales,
    schema: ListDailySalesRequestSchema,
    request,
    pageSizes,
    where: conditionsOf(request),
    sort: [{ field: "day", descending: false }],
  });
  return { days: items, nextPageToken };
}

function conditionsOf({ fromDay, toDay, currencyCode }: ListDailySalesRequest): Condition[] {
  const conditions: Condition[] = [];
  if (fromDay !== "") conditions.push({ field: "day", op: "gte", value: fromDay });
  if (toDay !== "") conditions.push({ field: "day", op: "lte", value: toDay });
  if (currencyCode !== "") conditions.push({ field: "totals.currencyCode", op: "eq", value: currencyCode });
  return conditions;
}
