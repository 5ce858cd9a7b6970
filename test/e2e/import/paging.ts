/** Reads lists page by page while their orders change: what stands still is seen once and in its place, and nothing is seen twice. */

import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "vitest";
import { timestampToMs } from "../../../internal/cqrs/time.ts";
import { type Order, OrderRejectedError, OrderSort, OrderStatus, type Session } from "../../../sdk/src/index.ts";
import { type Addresses, connect } from "./running-import.ts";

/** So many pages make the longest lists. */
const PAGES = 42;

/** The others stand still. */
const ONE_IN_CHANGES = 10;

const TIMEOUT_MS = 120_000;

interface Filter {
  readonly text?: string;
  readonly statuses?: OrderStatus[];
  readonly createdFrom?: Timestamp;
  readonly createdUntil?: Timestamp;
  readonly totalFromMinorUnits?: bigint;
}

interface List {
  readonly filter: Filter;
  readonly sort: OrderSort;
}

const sorts: readonly OrderSort[] = [
  OrderSort.NEWEST_FIRST,
  OrderSort.OLDEST_FIRST,
  OrderSort.LARGEST_FIRST,
  OrderSort.RECENTLY_UPDATED_FIRST,
];

const filters: readonly Filter[] = [
  {},
  { text: "France" },
  { statuses: [OrderStatus.DELIVERED, OrderStatus.RETURNED] },
  {
    statuses: [OrderStatus.DELIVERED],
    createdFrom: timestampFromMs(Date.parse("2010-12-02")),
    createdUntil: timestampFromMs(Date.parse("2011-06-01")),
    totalFromMinorUnits: 5_000n,
  },
];

export interface Paged {
  /** How many pages all lists had. */
  readonly pages: number;
  /** How many orders were added or changed meanwhile. */
  readonly changed: number;
}

/** @param token Covers all orders. */
export async function expectStablePages(addresses: Addresses, token: string): Promise<Paged> {
  using headwater = connect(addresses);
  const session = headwater.session({ token, timeoutMs: TIMEOUT_MS });
  const before = await Array.fromAsync(session.orders({ pageSize: 500 }));
  const changes = createChanges(headwater.session({ timeoutMs: TIMEOUT_MS }), before);
  const lists = filters.flatMap((filter) => sorts.map((sort): List => ({ filter, sort })));
  const pageSize = Math.ceil(before.length / PAGES);
  const read = await Promise.all(lists.map((list) => readPages(session, list, pageSize, changes.next)));
  const stoodStill = before.filter(({ orderId }) => !changes.touched.has(orderId));
  for (const [index, list] of lists.entries()) {
    const seen = read[index]?.flat() ?? [];
    const name = JSON.stringify(list, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    expect(
      seen.filter((orderId) => !changes.touched.has(orderId)),
      name,
    ).toEqual(idsOf(list, stoodStill));
    // A draft's total may fall; then it is met once more among the smaller ones.
    const once = list.sort === OrderSort.LARGEST_FIRST ? seen.filter((orderId) => !changes.drafts.includes(orderId)) : seen;
    expect(once.length - new Set(once).size, name).toBe(0);
  }
  return { pages: read.flat().length, changed: changes.touched.size };
}

/** The ids of all pages. After each of them something changes. */
async function readPages(session: Session, { filter, sort }: List, pageSize: number, change: () => Promise<void>) {
  const pages: string[][] = [];
  let pageToken = "";
  do {
    const page = await session.listOrders({ filter, sort, pageSize, pageToken, readMask: { paths: ["order_id"] } });
    pages.push(page.orders.map(({ orderId }) => orderId));
    pageToken = page.nextPageToken;
    await change();
  } while (pageToken !== "");
  return pages;
}

/** New orders in the midst of the others, drafts that grow and shrink, and items that come back. */
function createChanges(session: Session, orders: readonly Order[]) {
  const touched = new Set<string>();
  const drafts: string[] = [];
  let turn = 0;

  async function add({ customerId, currencyCode, lines, createdAt }: Order, orderId: string): Promise<void> {
    touched.add(orderId);
    const [first] = lines;
    const line = { lineId: "1", sku: first?.sku ?? "", quantity: 1, ...(first?.unitPrice && { unitPrice: first.unitPrice }) };
    const options = createdAt === undefined ? {} : { occurredAt: createdAt };
    await session.createOrder({ orderId, customerId, currencyCode, lines: [line], shippingAddress: { country: "France" }, options });
    drafts.push(orderId);
  }

  async function giveBack({ orderId, lines }: Order): Promise<void> {
    touched.add(orderId);
    try {
      await session.returnItems({ orderId, returnId: "once", lines: [{ lineId: lines[0]?.lineId ?? "", quantity: 1 }] });
    } catch (error) {
      // All of it has come back already.
      if (!(error instanceof OrderRejectedError)) throw error;
    }
  }

  return {
    touched,
    drafts,
    async next() {
      turn += 1;
      const order = orders[(turn * ONE_IN_CHANGES) % orders.length];
      const draft = drafts[turn % Math.max(drafts.length, 1)];
      if (order === undefined) throw new Error("there are no orders");
      await Promise.all([
        add(order, `draft-${turn}`),
        giveBack(order),
        draft !== undefined && session.changeLineQuantity({ orderId: draft, lineId: "1", quantity: 1 + ((turn * 37) % 1_000) }),
      ]);
    },
  };
}

/** What a list has of these orders, by rules of its own. */
function idsOf({ filter, sort }: List, orders: readonly Order[]): readonly string[] {
  const keyOf = (order: Order): number => {
    if (sort === OrderSort.LARGEST_FIRST) return -Number(order.total?.minorUnits);
    if (sort === OrderSort.RECENTLY_UPDATED_FIRST) return -msOf(order.updatedAt);
    return sort === OrderSort.OLDEST_FIRST ? msOf(order.createdAt) : -msOf(order.createdAt);
  };
  const direction = sort === OrderSort.OLDEST_FIRST ? 1 : -1;
  return orders
    .filter((order) => isIn(filter, order))
    .map((order) => ({ key: keyOf(order), orderId: order.orderId }))
    .sort((a, b) => a.key - b.key || direction * (a.orderId < b.orderId ? -1 : 1))
    .map(({ orderId }) => orderId);
}

function isIn({ text = "", statuses = [], createdFrom, createdUntil, totalFromMinorUnits = 0n }: Filter, order: Order): boolean {
  const words = [order.shippingAddress?.country, ...order.lines.flatMap(({ sku, description }) => [sku, description])].join(" ");
  return (
    new RegExp(`\\b${text}\\b`, "i").test(words) &&
    (statuses.length === 0 || statuses.includes(order.status)) &&
    (createdFrom === undefined || msOf(order.createdAt) >= msOf(createdFrom)) &&
    (createdUntil === undefined || msOf(order.createdAt) < msOf(createdUntil)) &&
    (order.total?.minorUnits ?? 0n) >= totalFromMinorUnits
  );
}

function msOf(timestamp: Order["createdAt"]): number {
  return timestamp === undefined ? 0 : timestampToMs(timestamp);
}
