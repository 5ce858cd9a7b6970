/** The rows of a file in one of two shapes, told apart by the header. */

import { parse } from "csv-parse/sync";
import { parseMinorUnits } from "./money.ts";

export interface Row {
  readonly invoiceNumber: string;
  readonly sku: string;
  readonly description: string;
  readonly quantity: number;
  readonly occurredAtMs: number;
  readonly unitPriceMinorUnits: bigint;
  /** Empty for a guest. */
  readonly customerId: string;
  readonly country: string;
}

export interface RowsOfFile {
  readonly rows: readonly Row[];
  /** For each row that cannot be sent, the reason. A row that cannot be read takes its invoice along: no invoice is sent in part. */
  readonly malformed: readonly string[];
}

/** The file cannot be imported at all; the message says why. */
export class FileError extends Error {
  override readonly name = "FileError";
}

const linesHeader = "invoice_no,stock_code,description,quantity,invoice_date,unit_price_gbp,customer_id,country";
const invoicesHeader = "invoice_no,invoice_date,customer_id,country,quantity,unit_price_gbp";

/** A row of invoices.csv names no article: it is the whole invoice. */
const WHOLE_INVOICE_SKU = "ASSORTED-GOODS";

/** How invoices.csv writes that there is no customer. */
const NO_CUSTOMER = "(blank)";

/** The contract's quantities have 32 bits. */
const MAX_QUANTITY = 2 ** 31 - 1;

/** @throws {Error} the header is neither of the two, or a quote is never closed: then nobody knows how many rows it has swallowed */
export function parseRows(text: string): RowsOfFile {
  const malformed: string[] = [];
  const records: readonly (readonly string[])[] = parse(text, {
    bom: true,
    relaxColumnCount: true,
    relaxQuotes: true,
    skipEmptyLines: true,
  });
  const [header = [], ...body] = records;
  const fieldsOf = fieldReader(header);
  const rows: Row[] = [];
  const incomplete = new Set<string>();
  for (const record of body) {
    const row = record.length === header.length ? parseRow(fieldsOf(record)) : malformedBy("number of columns");
    if (typeof row === "string") {
      malformed.push(row);
      // Under both headers the invoice's number comes first.
      incomplete.add(record[0] ?? "");
    } else {
      rows.push(row);
    }
  }
  const whole = rows.filter(({ invoiceNumber }) => !incomplete.has(invoiceNumber));
  const parts = Array.from({ length: rows.length - whole.length }, () => "INVOICE_INCOMPLETE");
  return { rows: whole, malformed: [...malformed, ...parts] };
}

type Fields = Readonly<Record<string, string>>;

function fieldReader(header: readonly string[]): (record: readonly string[]) => Fields {
  const named = (record: readonly string[]): Fields => Object.fromEntries(header.map((name, index) => [name, record[index] ?? ""]));
  switch (header.join(",")) {
    case linesHeader:
      return named;
    case invoicesHeader:
      return (record) => ({ ...named(record), stock_code: WHOLE_INVOICE_SKU, description: "" });
    default:
      throw new FileError(`the header must be "${linesHeader}" or "${invoicesHeader}", not "${header.join(",").slice(0, 200)}"`);
  }
}

/** The row, or why it is none. Only what cannot even be sent stops here: everything else is the service's to judge. */
function parseRow(fields: Fields): Row | string {
  const { invoice_no: invoiceNumber = "", stock_code: sku = "", description = "", quantity = "" } = fields;
  const { invoice_date: date = "", unit_price_gbp: price = "", customer_id: customer = "", country = "" } = fields;
  if (invoiceNumber === "") return malformedBy("invoice_no");
  if (!/^-?\d{1,10}$/.test(quantity) || Math.abs(Number(quantity)) > MAX_QUANTITY) return malformedBy("quantity");
  const occurredAtMs = Date.parse(date);
  if (!isTime(date, occurredAtMs)) return malformedBy("invoice_date");
  const unitPriceMinorUnits = parseMinorUnits(price);
  if (unitPriceMinorUnits === undefined) return malformedBy("unit_price_gbp");
  const customerId = customer === NO_CUSTOMER ? "" : customer;
  return { invoiceNumber, sku, description, quantity: Number(quantity), occurredAtMs, unitPriceMinorUnits, customerId, country };
}

/** The 30th of February parses as the 2nd of March: a time is one only if it is written back the same. */
function isTime(text: string, timeMs: number): boolean {
  return !Number.isNaN(timeMs) && new Date(timeMs).toISOString() === text.replace(/Z$/, ".000Z");
}

function malformedBy(part: string): string {
  return `MALFORMED_ROW ${part}`;
}
