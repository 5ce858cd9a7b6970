/** The rows of a file in one of two shapes, told apart by the header. */

import { printable } from "../printable.ts";
import { fieldsOf, linesOf } from "./lines.ts";
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
  /** All of the file: the header, the empty ones, and one for each row. */
  readonly lines: number;
  readonly emptyLines: number;
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

/** A row is a line: what is quoted ends on it. @throws {Error} the file is not UTF-8, or its header is neither of the two */
export function parseRows(file: Uint8Array): RowsOfFile {
  const malformed: string[] = [];
  const lines = linesOf(file);
  const [header = "", ...body] = lines;
  const named = fieldReader(header);
  const rows: Row[] = [];
  const incomplete = new Set<string>();
  const written = body.filter((line) => line !== "");
  for (const line of written) {
    const fields = fieldsOf(line);
    const row = typeof fields === "string" ? malformedBy(fields) : parseRow(named(fields));
    if (typeof row === "string") {
      malformed.push(row);
      // Under both headers the invoice's number comes first.
      incomplete.add((typeof fields === "string" ? line.replaceAll('"', "").split(",") : fields)[0] ?? "");
    } else {
      rows.push(row);
    }
  }
  const whole = rows.filter(({ invoiceNumber }) => !incomplete.has(invoiceNumber));
  const parts = Array.from({ length: rows.length - whole.length }, () => "INVOICE_INCOMPLETE");
  const emptyLines = body.length - written.length;
  return { lines: lines.length, emptyLines, rows: whole, malformed: [...malformed, ...parts] };
}

type Fields = Readonly<Record<string, string>>;

/** Names the fields of a record; undefined if there are too few or too many. */
function fieldReader(header: string): (record: readonly string[]) => Fields | undefined {
  const names = fieldsOf(header);
  const named = (record: readonly string[]): Fields | undefined =>
    typeof names === "string" || record.length !== names.length
      ? undefined
      : Object.fromEntries(names.map((name, index) => [name, record[index] ?? ""]));
  switch (typeof names === "string" ? header : names.join(",")) {
    case linesHeader:
      return named;
    case invoicesHeader:
      return (record) => {
        const fields = named(record);
        return fields && { ...fields, stock_code: WHOLE_INVOICE_SKU, description: "" };
      };
    default:
      throw new FileError(`the header must be "${linesHeader}" or "${invoicesHeader}", not "${printable(header.slice(0, 200))}"`);
  }
}

/** The row, or why it is none. Only what cannot even be sent stops here: everything else is the service's to judge. */
function parseRow(fields: Fields | undefined): Row | string {
  if (fields === undefined) return malformedBy("number of columns");
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
