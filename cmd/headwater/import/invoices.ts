import type { Row } from "./rows.ts";

/** Everything that stands under one number, in the order of the file. What belongs to the whole invoice is its first row's. */
export interface Invoice {
  readonly number: string;
  readonly customerId: string;
  readonly country: string;
  readonly occurredAtMs: number;
  readonly rows: readonly Row[];
}

export function groupInvoices(rows: readonly Row[]): readonly Invoice[] {
  const invoices = new Map<string, Invoice & { readonly rows: Row[] }>();
  for (const row of rows) {
    const { invoiceNumber: number, customerId, country, occurredAtMs } = row;
    const invoice = invoices.get(number);
    if (invoice === undefined) invoices.set(number, { number, customerId, country, occurredAtMs, rows: [row] });
    else invoice.rows.push(row);
  }
  return [...invoices.values()];
}

/**
 * What must be sent one after the other: the invoices of a customer, because his credit notes depend on what was accepted before. Each
 * invoice of a guest stands alone. The longest come first, so that none of them is left over at the end.
 */
export function groupByCustomer(invoices: readonly Invoice[]): readonly (readonly Invoice[])[] {
  const chains = Map.groupBy(invoices, ({ customerId, number }) => (customerId === "" ? `guest/${number}` : `customer/${customerId}`));
  return [...chains.values()].toSorted((one, other) => other.length - one.length);
}

export function isCreditNote({ number }: Invoice): boolean {
  return number.startsWith("C");
}

export function orderIdOf({ number }: Pick<Invoice, "number">): string {
  return `invoice-${number}`;
}

/** Of the row at an index, from 0. */
export function lineIdAt(index: number): string {
  return String(index + 1);
}
