import { expect, it } from "vitest";
import { Holdings } from "./holdings.ts";
import type { Invoice } from "./invoices.ts";

function invoice(number: string, ...articles: readonly (readonly [sku: string, quantity: number])[]): Invoice {
  const shared = { customerId: "7", country: "France", occurredAtMs: 0 };
  const row = { ...shared, invoiceNumber: number, description: "", unitPriceMinorUnits: 1n };
  return { ...shared, number, rows: articles.map(([sku, quantity]) => ({ ...row, sku, quantity })) };
}

function holdingsOf(...invoices: readonly Invoice[]): Holdings {
  const holdings = new Holdings();
  for (const sale of invoices) holdings.add(sale);
  return holdings;
}

it("an article comes back from the most recent order that still holds it", () => {
  const holdings = holdingsOf(invoice("1", ["cup", 5]), invoice("2", ["cup", 2]), invoice("3", ["tea", 9]));
  const back = (quantity: number) => holdings.take(invoice("C", ["cup", -quantity])).returns.map(({ orderId }) => orderId);
  expect([back(1), back(1), back(1)]).toEqual([["invoice-2"], ["invoice-2"], ["invoice-1"]]);
});

it("without an order that holds it, a row is unmatched", () => {
  expect(holdingsOf(invoice("1", ["cup", 5])).take(invoice("C", ["tea", -1], ["cup", -1]))).toMatchObject({
    unmatched: 1,
    returns: [{ rows: 1 }],
  });
});

it("several lines give what they hold, in their order, and the last is asked for the rest", () => {
  const holdings = holdingsOf(invoice("1", ["cup", 2], ["tea", 1], ["cup", 3]));
  expect(holdings.take(invoice("C", ["cup", -9])).returns[0]?.lines).toEqual([
    { lineId: "1", quantity: 2 },
    { lineId: "3", quantity: 7 },
  ]);
});

it("what a refused return had taken is held again", () => {
  const holdings = holdingsOf(invoice("1", ["cup", 2]));
  const { returns } = holdings.take(invoice("C1", ["cup", -5]));
  expect(holdings.take(invoice("C2", ["cup", -1])).unmatched).toBe(1);
  for (const refused of returns) holdings.release(refused);
  expect(holdings.take(invoice("C2", ["cup", -1])).returns).toHaveLength(1);
});

it("the rows of one credit note that concern one order are one return", () => {
  const holdings = holdingsOf(invoice("1", ["cup", 2], ["tea", 2]));
  expect(holdings.take(invoice("C", ["cup", -1], ["tea", -1])).returns).toMatchObject([
    { rows: 2, lines: [{ lineId: "1" }, { lineId: "2" }] },
  ]);
});
