import { describe, expect, it } from "vitest";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { countrySales } from "./country-sales.ts";
import { orderCounts, orderCountsId } from "./order-counts.ts";
import { productSales } from "./product-sales.ts";
import { documentsAfter, eur, eventOf, type Facts, line } from "./testing/events.ts";

const tea = line("1", 2, 500n, "tea");
const moreTea = line("2", 1, 400n, "tea");
const cup = line("3", 1, 300n, "cup");
const placed: Facts = { case: "orderPlaced", value: { total: eur(1700n), quantity: 4n, lines: [tea, moreTea, cup] } };
const returned: Facts = {
  case: "itemsReturned",
  value: { amount: eur(900n), quantity: 2n, returnedLines: [{ ...tea, quantity: 1 }, moreTea] },
};

describe("the sales of a product", () => {
  it("are those of all its lines, in one order", () => {
    expect(productsAfter(placed)).toMatchObject({
      "tea/EUR": {
        sku: "tea",
        totals: { currencyCode: "EUR", orderCount: 1n, quantity: 3n, amountMinorUnits: 1400n },
        remainingQuantity: 3n,
        remainingMinorUnits: 1400n,
      },
      "cup/EUR": { sku: "cup", totals: { orderCount: 1n, quantity: 1n, amountMinorUnits: 300n } },
    });
  });

  it("are reduced by what is cancelled and what comes back", () => {
    const sales = productsAfter(placed, placed, cancelled(OrderStatus.PAID), returned);
    expect(sales["tea/EUR"]).toMatchObject({
      totals: {
        orderCount: 2n,
        quantity: 6n,
        amountMinorUnits: 2800n,
        cancelledCount: 1n,
        cancelledQuantity: 3n,
        cancelledMinorUnits: 1400n,
        returnedQuantity: 2n,
        returnedMinorUnits: 900n,
      },
      remainingQuantity: 1n,
      remainingMinorUnits: 500n,
    });
  });

  it("know nothing of drafts, of payments and of lines without a price", () => {
    const { unitPrice: _, ...gift } = tea;
    expect(productsAfter(cancelled(OrderStatus.DRAFT), { case: "paymentRecorded", value: { amount: eur(5n) } })).toEqual({});
    expect(productsAfter({ case: "orderPlaced", value: { lines: [gift] } })).toEqual({});
  });

  it("are kept by currency", () => {
    const inDollars = { ...tea, unitPrice: { currencyCode: "USD", minorUnits: 7n } };
    const sales = productsAfter(placed, { case: "orderPlaced", value: { lines: [inDollars] } });
    expect(Object.keys(sales)).toEqual(["tea/EUR", "cup/EUR", "tea/USD"]);
    expect(sales["tea/USD"]?.totals).toMatchObject({ currencyCode: "USD", quantity: 2n, amountMinorUnits: 14n });
  });

  it("never fall below nothing, whatever events say", () => {
    expect(productsAfter(returned)["tea/EUR"]).toMatchObject({ remainingQuantity: 0n, remainingMinorUnits: 0n });
  });
});

describe("the sales to a country", () => {
  it("are all sums of the orders that were placed for it", () => {
    const paid: Facts = { case: "paymentRecorded", value: { amount: eur(1700n) } };
    const events = [placed, paid, returned].map((facts) => eventIn("PT", facts));
    const sales = documentsAfter(countrySales, [...events, eventIn("FR", placed), eventIn("", cancelled(OrderStatus.PLACED))]);
    expect(Object.fromEntries(sales)).toMatchObject({
      "PT/EUR": {
        country: "PT",
        totals: { currencyCode: "EUR", orderCount: 1n, paidMinorUnits: 1700n, returnedQuantity: 2n },
        remainingQuantity: 2n,
        remainingMinorUnits: 800n,
      },
      "FR/EUR": { country: "FR", totals: { orderCount: 1n, paidMinorUnits: 0n } },
      "/EUR": { country: "", totals: { cancelledCount: 1n } },
    });
  });
});

describe("the counts of orders", () => {
  const { DRAFT, PLACED, PAID, UNSPECIFIED } = OrderStatus;

  it("follow each order from status to status", () => {
    const counts = countsAfter([UNSPECIFIED, DRAFT], [UNSPECIFIED, DRAFT], [DRAFT, PLACED], [UNSPECIFIED, DRAFT], [PLACED, PAID]);
    expect(counts).toEqual([
      [DRAFT, 2n],
      [PLACED, 0n],
      [PAID, 1n],
    ]);
  });

  it("are not touched by an event that leaves the status as it was, or does not tell it", () => {
    const [event] = [transition(PAID, PAID), transition(UNSPECIFIED, UNSPECIFIED)].filter((each) => orderCounts.keys(each).length > 0);
    expect(event).toBeUndefined();
  });

  function countsAfter(...moves: readonly (readonly [from: OrderStatus, to: OrderStatus])[]) {
    const counts = documentsAfter(
      orderCounts,
      moves.map(([from, to]) => transition(from, to)),
    ).get(orderCountsId);
    return counts?.statuses.map(({ status, orderCount }) => [status, orderCount]);
  }

  function transition(previousStatus: OrderStatus, status: OrderStatus): OrderEvent {
    return { ...eventOf({ case: "shippingAddressSet", value: {} }), previousStatus, status };
  }
});

function cancelled(previousStatus: OrderStatus): Facts {
  return { case: "orderCancelled", value: { previousStatus, total: eur(1700n), quantity: 4n, lines: [tea, moreTea, cup] } };
}

function productsAfter(...facts: readonly Facts[]) {
  const events = facts.map((each) => eventOf(each));
  return Object.fromEntries(documentsAfter(productSales, events));
}

function eventIn(salesCountry: string, facts: Facts): OrderEvent {
  return { ...eventOf(facts), salesCountry };
}
