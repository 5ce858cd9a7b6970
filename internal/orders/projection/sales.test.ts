import { describe, expect, it } from "vitest";
import { timestampToMs } from "../../cqrs/time.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { customerSummary } from "./customer-summary.ts";
import { dailySales } from "./daily-sales.ts";
import { documentsAfter, eur, eventOf, type Facts } from "./testing/events.ts";

const placed: Facts = { case: "orderPlaced", value: { total: eur(1300n), quantity: 3n } };
const placedInDollars: Facts = { case: "orderPlaced", value: { total: { currencyCode: "USD", minorUnits: 70n }, quantity: 1n } };

const effects: readonly (readonly [what: string, facts: Facts, sums: object | undefined])[] = [
  ["an order that is created", { case: "orderCreated", value: { currencyCode: "EUR" } }, undefined],
  ["a line that is added", { case: "lineAdded", value: {} }, undefined],
  ["a line that is changed", { case: "lineQuantityChanged", value: {} }, undefined],
  ["a line that is removed", { case: "lineRemoved", value: {} }, undefined],
  ["an address", { case: "shippingAddressSet", value: {} }, undefined],
  ["a parcel that left", { case: "orderShipped", value: {} }, undefined],
  ["a parcel that arrived", { case: "orderDelivered", value: {} }, undefined],
  ["a placed order", placed, { orderCount: 1n, quantity: 3n, amountMinorUnits: 1300n }],
  ["a draft that is cancelled", cancelled(OrderStatus.DRAFT), undefined],
  [
    "a placed order that is cancelled",
    cancelled(OrderStatus.PLACED),
    { cancelledCount: 1n, cancelledQuantity: 3n, cancelledMinorUnits: 1300n },
  ],
  [
    "a paid order that is cancelled",
    cancelled(OrderStatus.PAID),
    { cancelledCount: 1n, cancelledQuantity: 3n, cancelledMinorUnits: 1300n },
  ],
  ["a payment", { case: "paymentRecorded", value: { amount: eur(700n) } }, { paidMinorUnits: 700n }],
  ["a return", { case: "itemsReturned", value: { amount: eur(500n), quantity: 2n } }, { returnedQuantity: 2n, returnedMinorUnits: 500n }],
  ["a refund", { case: "orderRefunded", value: { amount: eur(400n) } }, { refundedMinorUnits: 400n }],
  ["an amount without a currency", { case: "paymentRecorded", value: { amount: { minorUnits: 5n } } }, undefined],
  ["an event without its amount", { case: "orderRefunded", value: {} }, undefined],
];

const nothingSold = {
  orderCount: 0n,
  quantity: 0n,
  amountMinorUnits: 0n,
  cancelledCount: 0n,
  cancelledQuantity: 0n,
  cancelledMinorUnits: 0n,
  returnedQuantity: 0n,
  returnedMinorUnits: 0n,
  paidMinorUnits: 0n,
  refundedMinorUnits: 0n,
};

describe("the sales of a day", () => {
  it.each(effects)("count %s", (_what, facts, sums) => {
    const days = [...documentsAfter(dailySales, [eventOf(facts)])];
    const day = { day: "2026-03-01", totals: { ...nothingSold, ...sums, currencyCode: "EUR" } };
    expect(days).toMatchObject(sums === undefined ? [] : [["2026-03-01/EUR", day]]);
  });

  it("are kept by day in UTC and by currency", () => {
    const days = documentsAfter(dailySales, [
      eventOf(placed, { occurredAt: "2026-03-01T23:59:59.999Z" }),
      eventOf(placed, { occurredAt: "2026-03-02T00:30:00+01:00" }),
      eventOf(placed, { occurredAt: "2026-03-02T00:00:00Z" }),
      eventOf(placedInDollars, { occurredAt: "2026-03-02T00:00:00Z" }),
    ]);
    expect([...days].map(([id, { totals }]) => [id, totals?.orderCount, totals?.amountMinorUnits])).toEqual([
      ["2026-03-01/EUR", 2n, 2600n],
      ["2026-03-02/EUR", 1n, 1300n],
      ["2026-03-02/USD", 1n, 70n],
    ]);
  });

  it("stop at the largest sum that a document holds", () => {
    const huge = eventOf({ case: "orderPlaced", value: { total: eur(10n ** 15n), quantity: 1n } });
    const day = documentsAfter(
      dailySales,
      Array.from({ length: 12 }, () => huge),
    ).get("2026-03-01/EUR");
    expect(day?.totals).toMatchObject({ orderCount: 12n, amountMinorUnits: BigInt(Number.MAX_SAFE_INTEGER) });
  });
});

describe("a customer's summary", () => {
  it.each(effects)("counts %s", (_what, facts, sums) => {
    const summary = summaryAfter(eventOf(facts));
    expect(summary?.customerId).toBe("ann");
    expect(summary?.totals).toMatchObject(sums === undefined ? [] : [{ ...nothingSold, ...sums, currencyCode: "EUR" }]);
  });

  it("is one of all his orders, per currency, in whichever order their events come", () => {
    const events = [
      eventOf({ case: "orderCreated", value: {} }, { orderId: "order-2", occurredAt: "2026-03-02T00:00:00Z" }),
      eventOf(placedInDollars, { orderId: "order-2", occurredAt: "2026-03-05T00:00:00Z" }),
      eventOf({ case: "orderCreated", value: {} }, { orderId: "order-1", occurredAt: "2026-03-01T00:00:00Z" }),
      eventOf(placed, { orderId: "order-1", occurredAt: "2026-03-03T00:00:00Z" }),
      eventOf(placed, { orderId: "order-3", occurredAt: "2026-03-04T00:00:00Z" }),
    ];
    const summary = summaryAfter(...events);
    expect(summary?.totals).toMatchObject([
      { currencyCode: "EUR", orderCount: 2n, quantity: 6n },
      { currencyCode: "USD", orderCount: 1n },
    ]);
    expect(summary?.firstOrderAt && new Date(timestampToMs(summary.firstOrderAt))).toEqual(new Date("2026-03-01T00:00:00Z"));
    expect(summary?.lastActivityAt && new Date(timestampToMs(summary.lastActivityAt))).toEqual(new Date("2026-03-05T00:00:00Z"));
    expect(summaryAfter(...events.toReversed())).toEqual(summary);
  });

  it("is not made for a guest", () => {
    expect(documentsAfter(customerSummary, [eventOf(placed, { customerId: "" })])).toEqual(new Map());
  });
});

function cancelled(previousStatus: OrderStatus): Facts {
  return { case: "orderCancelled", value: { previousStatus, total: eur(1300n), quantity: 3n } };
}

function summaryAfter(...events: readonly OrderEvent[]) {
  return documentsAfter(customerSummary, events).get("ann");
}
