/** The lists that are asked for: each filter in each order, its first page and one from the middle. */

import { create, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Find, SortKey } from "../internal/cqrs/documents.ts";
import { formatPageToken, listHash } from "../internal/cqrs/query/page-token.ts";
import { timestampToMs } from "../internal/cqrs/time.ts";
import { OrderStatus } from "../internal/gen/headwater/orders/v1/order_pb.ts";
import { ListOrdersRequestSchema, type OrderFilterSchema, OrderSort } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { listOrders } from "../internal/orders/query/list-orders.ts";
import { FIRST_DAY_MS, LAST_DAY_MS, manyCustomerId, SMALLEST_TOTAL, TOTAL_MAGNITUDES } from "./many-orders.ts";

type Filter = MessageInitShape<typeof OrderFilterSchema>;
type ListRequest = MessageShape<typeof ListOrdersRequestSchema>;

export interface ListCase {
  readonly name: string;
  /** Alike, so that their pages are equally many orders in equally many. */
  readonly requests: readonly ListRequest[];
}

/** A sort key has dates as the store gives them. */
export type StoredDate = (ms: number) => SortKey[number];

const sorts: readonly (readonly [name: string, sort: OrderSort])[] = [
  ["newest first", OrderSort.NEWEST_FIRST],
  ["oldest first", OrderSort.OLDEST_FIRST],
  ["largest first", OrderSort.LARGEST_FIRST],
  ["recently updated first", OrderSort.RECENTLY_UPDATED_FIRST],
];

const month = { createdFrom: timestampFromMs(Date.parse("2024-06-01")), createdUntil: timestampFromMs(Date.parse("2024-07-01")) };
const amount = { totalFromMinorUnits: 20_000n, totalToMinorUnits: 21_000n };

/** Customers whose orders are asked for in turn. */
const CUSTOMERS = 64;

function filters(orders: number): readonly (readonly [name: string, filters: readonly Filter[]])[] {
  const customers = Array.from({ length: CUSTOMERS }, (_, index) => manyCustomerId(index * 7_919, orders));
  return [
    ["all", [{}]],
    ["a customer", customers.map((customerId) => ({ customerId }))],
    ["a customer and an amount", customers.map((customerId) => ({ customerId, totalFromMinorUnits: 2_000n }))],
    ["88 % by status", [{ statuses: [OrderStatus.DELIVERED] }]],
    ["2 % by status", [{ statuses: [OrderStatus.PLACED] }]],
    ["5 % by two statuses", [{ statuses: [OrderStatus.PLACED, OrderStatus.PAID] }]],
    ["a month of 36", [month]],
    ["1 % by amount", [amount]],
    ["a rare word", [{ text: "12345" }]],
    ["a word of one in ten", [{ text: "mug" }]],
    ["a word of nine in ten", [{ text: "kingdom" }]],
    ["two words", [{ text: "red mug" }]],
    ["a common word and a customer", customers.map((customerId) => ({ text: "kingdom", customerId }))],
    ["a status and a month", [{ statuses: [OrderStatus.PLACED], ...month }]],
    ["a status and an amount", [{ statuses: [OrderStatus.DELIVERED], ...amount }]],
    ["a month and an amount", [{ ...month, ...amount }]],
    ["a word, a status and a month", [{ text: "mug", statuses: [OrderStatus.DELIVERED], ...month }]],
  ];
}

export function listCases(orders: number, storedDate: StoredDate): readonly ListCase[] {
  return filters(orders).flatMap(([filterName, each]) =>
    sorts.flatMap(([sortName, sort]) => {
      const first = each.map((filter) => create(ListOrdersRequestSchema, { filter, sort }));
      const name = `${filterName}, ${sortName}`;
      return [
        { name, requests: first },
        { name: `  from the middle`, requests: first.map((request) => fromTheMiddle(request, storedDate)) },
      ];
    }),
  );
}

/** Where the page before would have ended. */
function fromTheMiddle(request: ListRequest, storedDate: StoredDate): ListRequest {
  const pageToken = formatPageToken(listHash(ListOrdersRequestSchema, request), [middleOf(request, storedDate), ""]);
  return { ...request, pageToken };
}

function middleOf({ filter, sort }: ListRequest, storedDate: StoredDate): SortKey[number] {
  if (sort === OrderSort.LARGEST_FIRST) {
    const { totalFromMinorUnits: from, totalToMinorUnits: to } = filter ?? {};
    if (from !== undefined && to !== undefined) return Number((from + to) / 2n);
    return Math.floor(SMALLEST_TOTAL * Math.exp(TOTAL_MAGNITUDES / 2));
  }
  const { createdFrom, createdUntil } = filter ?? {};
  const [from, until] = [createdFrom && timestampToMs(createdFrom), createdUntil && timestampToMs(createdUntil)];
  return storedDate(Math.floor(((from ?? FIRST_DAY_MS) + (until ?? LAST_DAY_MS)) / 2));
}

/** What the service asks of the documents. */
export async function findOf(request: ListRequest): Promise<Find> {
  let asked: Find | undefined;
  await listOrders(
    {
      load: async () => [],
      async find(query) {
        asked = query;
        return { documents: [] };
      },
    },
    request,
  );
  if (asked === undefined) throw new Error("the list asks for nothing");
  return asked;
}
