/** What an invoice says, in the service's commands. */

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BulkCommand } from "../../../sdk/src/index.ts";
import { commandIdOf } from "./command-id.ts";
import type { MatchedReturn } from "./holdings.ts";
import { type Invoice, lineIdAt, orderIdOf } from "./invoices.ts";

const CURRENCY = "GBP";

/** From a new order to a finished sale. */
export function saleCommands(invoice: Invoice): readonly BulkCommand[] {
  const { customerId, country, rows } = invoice;
  const orderId = orderIdOf(invoice);
  const step = (name: string) => ({ orderId, options: optionsOf(invoice, name) });
  const lines = rows.map(({ sku, description, quantity, unitPriceMinorUnits }, index) => ({
    lineId: lineIdAt(index),
    sku,
    description,
    quantity,
    unitPrice: gbp(unitPriceMinorUnits),
  }));
  const total = rows.reduce((sum, { quantity, unitPriceMinorUnits }) => sum + BigInt(quantity) * unitPriceMinorUnits, 0n);
  const payment: BulkCommand = { case: "recordPayment", value: { ...step("pay"), amount: gbp(total) } };
  return [
    { case: "createOrder", value: { ...step("create"), customerId, currencyCode: CURRENCY, lines, shippingAddress: { country } } },
    { case: "placeOrder", value: step("place") },
    ...(total === 0n ? [] : [payment]),
    { case: "shipOrder", value: step("ship") },
    { case: "deliverOrder", value: step("deliver") },
  ];
}

export function returnCommand(creditNote: Invoice, { orderId, lines }: MatchedReturn): BulkCommand {
  const options = optionsOf(creditNote, `return/${orderId}`);
  return { case: "returnItems", value: { orderId, options, returnId: creditNote.number, lines: [...lines] } };
}

function optionsOf(invoice: Invoice, step: string) {
  return { commandId: commandIdOf(`${orderIdOf(invoice)}/${step}`), occurredAt: timestampFromMs(invoice.occurredAtMs) };
}

function gbp(minorUnits: bigint) {
  return { currencyCode: CURRENCY, minorUnits };
}
