/** Orders as the projection would have left them, put together directly: a million commands would take longer than what is measured. */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { DocumentWrite } from "../internal/cqrs/documents.ts";
import { type Order, OrderLineSchema, OrderSchema, OrderStatus } from "../internal/gen/headwater/orders/v1/order_pb.ts";
import { orders as orderView } from "../internal/orders/projection/order.ts";

export const FIRST_DAY_MS = Date.parse("2023-01-01T00:00:00Z");
export const LAST_DAY_MS = Date.parse("2026-01-01T00:00:00Z");

/** A customer has twenty orders or so, a product some hundreds. */
export const ORDERS_PER_CUSTOMER = 20;
const PRODUCTS = 5_000;

/** Totals lie between 5.00 and 742.00, and the smaller ones are more. */
export const SMALLEST_TOTAL = 500;
export const TOTAL_MAGNITUDES = 5;

const CURRENCY = "EUR";

/** Most orders are over; of the others there are few. */
const statuses: readonly (readonly [status: OrderStatus, percent: number])[] = [
  [OrderStatus.DELIVERED, 88],
  [OrderStatus.RETURNED, 3],
  [OrderStatus.CANCELLED, 3],
  [OrderStatus.PAID, 3],
  [OrderStatus.PLACED, 2],
  [OrderStatus.DRAFT, 1],
];

const countries = ["United Kingdom", "France", "Germany", "Ireland", "Portugal", "Norway", "Spain", "Japan"];
const colours = ["red", "blue", "green", "white", "black", "amber", "silver", "pink", "grey", "brown"];
const things = ["mug", "lamp", "chair", "clock", "plate", "vase", "bag", "box", "candle", "frame"];

export function manyOrderId(number: number): string {
  return `o${number}`;
}

export function manyCustomerId(number: number, orders: number): string {
  return `c${number % Math.ceil(orders / ORDERS_PER_CUSTOMER)}`;
}

/** The documents of orders from one number to another, of so many in all. */
export function manyDocuments(from: number, to: number, orders: number): DocumentWrite[] {
  return Array.from({ length: to - from }, (_, index) => {
    const number = from + index;
    const applied = { events: { 0: number + 1 } };
    const fields = orderView.encode(manyOrder(number, orders), applied);
    return { collection: orderView.collection.name, id: manyOrderId(number), expectedRevision: 0, applied, fields };
  });
}

function manyOrder(number: number, orders: number): Order {
  const random = (use: number): number => randomOf(number, use);
  const pick = <Item>(items: readonly Item[], use: number): Item | undefined => items[Math.floor(random(use) * items.length)];
  const total = Math.floor(SMALLEST_TOTAL * Math.exp(TOTAL_MAGNITUDES * random(1)));
  const lines = [0, 1].slice(0, 1 + Math.round(random(2))).map((index) => {
    const product = Math.floor(random(3 + index) * PRODUCTS);
    const description = `${colours[product % colours.length]} ${things[Math.floor(product / colours.length) % things.length]}`;
    const price = money(index === 0 ? total : 0);
    return create(OrderLineSchema, {
      lineId: `${index + 1}`,
      sku: `SKU-${10_000 + product}`,
      description,
      quantity: 1,
      unitPrice: price,
      amount: price,
    });
  });
  const createdAtMs = Math.floor(FIRST_DAY_MS + random(5) * (LAST_DAY_MS - FIRST_DAY_MS));
  const paid = { paymentId: "payment", amount: money(total), method: "card", paidAt: timestampFromMs(createdAtMs + 60_000) };
  return create(OrderSchema, {
    orderId: manyOrderId(number),
    version: 5,
    status: statusAt(random(6) * 100),
    customerId: manyCustomerId(Math.floor(random(7) * orders), orders),
    currencyCode: CURRENCY,
    lines,
    quantity: BigInt(lines.length),
    // One in ten is from abroad.
    shippingAddress: { recipient: "Ada", city: "A city", country: (random(8) < 0.9 ? countries[0] : pick(countries, 9)) ?? "" },
    total: money(total),
    paid: money(total),
    refunded: money(0),
    returned: money(0),
    payments: [paid],
    createdAt: timestampFromMs(createdAtMs),
    placedAt: timestampFromMs(createdAtMs),
    updatedAt: timestampFromMs(Math.floor(createdAtMs + random(10) * 10 * 86_400_000)),
  });
}

function statusAt(percent: number): OrderStatus {
  let upTo = 0;
  for (const [status, share] of statuses) {
    upTo += share;
    if (percent < upTo) return status;
  }
  return OrderStatus.DELIVERED;
}

function money(minorUnits: number) {
  return { currencyCode: CURRENCY, minorUnits: BigInt(minorUnits) };
}

/** From 0 to 1, the same for the same order and use. */
function randomOf(number: number, use: number): number {
  let mixed = Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(use + 1, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
}
