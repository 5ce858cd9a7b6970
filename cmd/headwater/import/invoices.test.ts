import { expect, it } from "vitest";
import { commandIdOf } from "./command-id.ts";
import { returnCommand, saleCommands } from "./commands.ts";
import { groupByCustomer, groupInvoices } from "./invoices.ts";
import { parseRows } from "./rows.ts";

const header = "invoice_no,invoice_date,customer_id,country,quantity,unit_price_gbp";

function invoicesOf(...rows: readonly string[]) {
  return groupInvoices(parseRows(Buffer.from([header, ...rows].join("\n"))).rows);
}

it("the rows under one number are one invoice, at the place and time of its first row", () => {
  const invoices = invoicesOf(
    "1,2010-12-01T08:26:00Z,7,France,3,1",
    "2,2010-12-01T08:26:00Z,7,France,3,1",
    "1,2010-12-01T08:27:00Z,7,France,4,2",
  );
  expect(invoices.map(({ number, rows }) => [number, rows.length])).toEqual([
    ["1", 2],
    ["2", 1],
  ]);
  expect(invoices[0]?.occurredAtMs).toBe(Date.UTC(2010, 11, 1, 8, 26));
});

it("a customer's invoices keep their order, and guests depend on nobody", () => {
  const invoices = invoicesOf(
    "1,2010-12-01T08:26:00Z,,France,3,1",
    "2,2010-12-01T08:26:00Z,7,France,3,1",
    "3,2010-12-01T08:26:00Z,,France,3,1",
    "4,2010-12-01T08:26:00Z,7,France,3,1",
  );
  expect(groupByCustomer(invoices).map((chain) => chain.map(({ number }) => number))).toEqual([["2", "4"], ["1"], ["3"]]);
});

it("an invoice becomes a finished sale, which is not paid if it costs nothing", () => {
  const steps = (price: string) => invoicesOf(`1,2010-12-01T08:26:00Z,7,France,3,${price}`).flatMap(saleCommands);
  expect(steps("1.5").map((command) => command.case)).toEqual(["createOrder", "placeOrder", "recordPayment", "shipOrder", "deliverOrder"]);
  expect(steps("0").map((command) => command.case)).toEqual(["createOrder", "placeOrder", "shipOrder", "deliverOrder"]);
  expect(steps("1.5")[2]?.value).toMatchObject({ amount: { currencyCode: "GBP", minorUnits: 450n } });
});

it("the id of a command is a UUID that follows from its name", () => {
  const [first] = invoicesOf("C1,2010-12-01T08:26:00Z,7,France,-3,1");
  if (first === undefined) throw new Error("no invoice");
  const { value } = returnCommand(first, { orderId: "invoice-9", lines: [{ lineId: "1", quantity: 3 }], rows: 1 });
  expect(value.options?.commandId).toBe(commandIdOf("invoice-C1/return/invoice-9"));
  expect(commandIdOf("a")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(commandIdOf("a")).not.toBe(commandIdOf("b"));
});
