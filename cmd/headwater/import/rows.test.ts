import { describe, expect, it } from "vitest";
import { FileError, parseRows } from "./rows.ts";

const lines = "invoice_no,stock_code,description,quantity,invoice_date,unit_price_gbp,customer_id,country";
const invoices = "invoice_no,invoice_date,customer_id,country,quantity,unit_price_gbp";

describe("the rows of a file", () => {
  it("are invoice lines under the one header", () => {
    const { rows } = parseRows(`${lines}\n1,A,"A ""good"", cup",2,2010-12-01T08:26:00Z,2.55,7,EIRE\n`);
    expect(rows).toEqual([
      {
        invoiceNumber: "1",
        sku: "A",
        description: 'A "good", cup',
        quantity: 2,
        occurredAtMs: Date.UTC(2010, 11, 1, 8, 26),
        unitPriceMinorUnits: 255n,
        customerId: "7",
        country: "EIRE",
      },
    ]);
  });

  it("are whole invoices of one article under the other", () => {
    const { rows } = parseRows(`${invoices}\nC1,2010-12-01T08:26:00Z,(blank),France,-3,1.3243\n`);
    expect(rows).toMatchObject([{ sku: "ASSORTED-GOODS", quantity: -3, unitPriceMinorUnits: 132n, customerId: "" }]);
  });

  it("cannot be read under any other header", () => expect(() => parseRows("a,b\n1,2\n")).toThrow(FileError));

  it.each([
    ["1,2010-12-01T08:26:00Z,7,France,3", "number of columns"],
    [",2010-12-01T08:26:00Z,7,France,3,1", "invoice_no"],
    ["1,2010-12-01,7,France,3,1", "invoice_date"],
    ["1,2010-13-01T08:26:00Z,7,France,3,1", "invoice_date"],
    ["1,2010-12-01T08:26:00Z,7,France,3.5,1", "quantity"],
    ["1,2010-12-01T08:26:00Z,7,France,9999999999,1", "quantity"],
    ["1,2010-12-01T08:26:00Z,7,France,3,free", "unit_price_gbp"],
    ["1,2011-02-30T08:26:00Z,7,France,3,1", "invoice_date"],
  ])("%s is malformed by its %s, and the rows before it are not", (row, part) => {
    const { rows, malformed } = parseRows(`${invoices}\n2,2010-12-01T08:26:00Z,7,France,3,1\n${row}\n`);
    expect(rows).toHaveLength(1);
    expect(malformed).toEqual([`MALFORMED_ROW ${part}`]);
  });

  it("are not part of an invoice of which one row is malformed", () => {
    const row = "1,2010-12-01T08:26:00Z,7,France,3,1";
    const { rows, malformed } = parseRows([invoices, row, "1,2010-12-01T08:26:00Z,7,France,three,1", row.replace("1", "2")].join("\n"));
    expect(rows.map(({ invoiceNumber }) => invoiceNumber)).toEqual(["2"]);
    expect(malformed).toEqual(["MALFORMED_ROW quantity", "INVOICE_INCOMPLETE"]);
  });

  it("cannot be told from one another behind a quote that is never closed", () =>
    expect(() => parseRows(`${invoices}\n1,"2010-12-01T08:26:00Z,7,France,3,1\n2,2010-12-01T08:26:00Z,7,France,3,1\n`)).toThrow("quote"));
});
