import type { Condition, DocumentReader, Find } from "../../cqrs/documents.ts";
import { findPage, type PageSizes } from "../../cqrs/query/find-page.ts";
import { QueryArgumentError } from "../../cqrs/query/query.ts";
import { readMask } from "../../cqrs/query/read-mask.ts";
import { type Order, OrderSchema, type OrderStatus, OrderStatusSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import {
  type ListOrdersRequest,
  ListOrdersRequestSchema,
  type OrderFilter,
  OrderSort,
} from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { searchWords } from "../projection/search-words.ts";
import { dateFrom } from "../projection/time.ts";

const pageSizes: PageSizes = { default: 50, maximum: 500 };

/** Each is looked up in an index of its own entries; and nobody types more. */
const maxTextWords = 32;

listOrders.view = orders;

/**
 * @throws {PageTokenError} the page token does not belong to this list
 * @throws {ReadMaskError} the read mask does not fit an order
 * @throws {QueryArgumentError} the text to look for has no words, or too many
 */
export async function listOrders(
  documents: DocumentReader,
  request: ListOrdersRequest,
): Promise<{ readonly orders: Order[]; readonly nextPageToken: string }> {
  const masked = readMask(OrderSchema, request.readMask);
  const { items, nextPageToken } = await findPage(documents, {
    view: orders,
    schema: ListOrdersRequestSchema,
    request,
    pageSizes,
    where: request.filter === undefined ? [] : conditionsOf(request.filter),
    sort: sortOf(request.sort),
    ...(request.readMask && { masked }),
  });
  return { orders: items, nextPageToken };
}

/**
 * What a filter means for the documents of orders.
 *
 * @throws {QueryArgumentError} the text to look for has no words, or too many
 */
export function conditionsOf(filter: OrderFilter): Condition[] {
  const { customerId, statuses, createdFrom, createdUntil, totalFromMinorUnits, totalToMinorUnits, currencyCode, text } = filter;
  const conditions = text === "" ? [] : textConditions(text);
  if (customerId !== "") conditions.push({ field: "customerId", op: "eq", value: customerId });
  if (statuses.length > 0) conditions.push(statusCondition([...new Set(statuses.map(storedStatus))]));
  if (createdFrom !== undefined) conditions.push({ field: "createdAt", op: "gte", value: dateFrom(createdFrom) });
  if (createdUntil !== undefined) conditions.push({ field: "createdAt", op: "lt", value: dateFrom(createdUntil) });
  if (totalFromMinorUnits !== undefined) conditions.push({ field: "total.minorUnits", op: "gte", value: Number(totalFromMinorUnits) });
  if (totalToMinorUnits !== undefined) conditions.push({ field: "total.minorUnits", op: "lte", value: Number(totalToMinorUnits) });
  if (currencyCode !== "") conditions.push({ field: "currencyCode", op: "eq", value: currencyCode });
  return conditions;
}

function textConditions(text: string): Condition[] {
  const words = searchWords(text);
  const fault = words.length === 0 ? "has no letter or digit to look for" : `has more than ${maxTextWords} words`;
  if (words.length === 0 || words.length > maxTextWords) throw new QueryArgumentError("filter.text", "INVALID_TEXT", fault);
  return words.map((word) => ({ field: "words", op: "eq", value: word }));
}

function sortOf(sort: OrderSort): Find["sort"] {
  switch (sort) {
    case OrderSort.OLDEST_FIRST:
      return [{ field: "createdAt", descending: false }];
    case OrderSort.LARGEST_FIRST:
      return [{ field: "total.minorUnits", descending: true }];
    case OrderSort.RECENTLY_UPDATED_FIRST:
      return [{ field: "updatedAt", descending: true }];
    case OrderSort.NEWEST_FIRST:
    case OrderSort.UNSPECIFIED:
    default: // The type is open, but the request's rules let no other value through.
      return [{ field: "createdAt", descending: true }];
  }
}

/** With one status, an index that begins with it has the orders in the order of the list already. */
function statusCondition(statuses: readonly (string | number)[]): Condition {
  const [status] = statuses;
  if (status !== undefined && statuses.length === 1) return { field: "status", op: "eq", value: status };
  return { field: "status", op: "in", value: statuses };
}

/** Documents hold a status by its name. */
function storedStatus(status: OrderStatus): string | number {
  return OrderStatusSchema.value[status]?.localName ?? status;
}
