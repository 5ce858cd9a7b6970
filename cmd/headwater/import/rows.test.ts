import { describe, expect, it } from "vitest";
import { FileError, parseRows as parseFile, type RowsOfFile } from "./rows.ts";

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

  it.each([
    ["that is never closed", '1,"2010-12-01T08:26:00Z,7,France,3,1'],
    ["within a field", '1,2010-12-01T08:26:00Z,7,Fra"nce,3,1'],
    ["behind which a field goes on", '1,2010-12-01T08:26:00Z,7,"Fra"nce,3,1'],
  ])("are malformed by a quote %s, which takes no other row along", (_, row) => {
    const file = parseRows(`${invoices}\n${row}\n2,2010-12-01T08:26:00Z,7,"Fra""nce",3,1\n`);
    expect(file.rows).toMatchObject([{ invoiceNumber: "2", country: 'Fra"nce' }]);
    expect(file.malformed).toEqual(["MALFORMED_ROW quotes"]);
  });

  it("are lines: what is quoted ends on its own", () => {
    const file = parseRows(
      `${lines}\nW1,A,"WHITE HEART,1,2010-12-01T08:26:00Z,1,7,UK\nW2,B,HOLDER" RED,1,2010-12-01T08:26:00Z,1,7,UK\nW3,C,ok,1,2010-12-01T08:26:00Z,1,7,UK\n`,
    );
    expect(file.rows.map(({ invoiceNumber }) => invoiceNumber)).toEqual(["W3"]);
    expect(file.malformed).toEqual(["MALFORMED_ROW quotes", "MALFORMED_ROW quotes"]);
  });

  it.each(["\u0000", "\u001b", "\r", "\u0085"])("are malformed by the control character %j", (character) => {
    const file = parseRows(`${invoices}\n1,2010-12-01T08:26:00Z,7,Fra${character}nce,3,1\n`);
    expect(file).toMatchObject({ rows: [], malformed: ["MALFORMED_ROW control character"] });
  });

  it.each([
    ["\n", "\n", "\n"],
    ["\r\n", "\r\n", "\r\n"],
    ["\n", "\r\n", "\r\n"],
    ["\r\n", "\n", "\n"],
    ["\n", "\r\n", "\n"],
    ["\r\n", "\n", "\r\n"],
    ["\n", "\r\n", ""],
  ])("are the same whichever end each line has: %j, %j, %j", (first, second, third) => {
    const row = (number: number): string => `${number},2010-12-01T08:26:00Z,7,France,3,1`;
    const file = parseRows(`\ufeff${invoices}${first}${row(1)}${second}${row(2)}${third}`);
    expect(file).toMatchObject({ lines: 3, emptyLines: 0, malformed: [] });
    expect(file.rows.map(({ country }) => country)).toEqual(["France", "France"]);
  });

  it("are counted with the header and the empty lines, and all have a fate", () => {
    const file = parseRows(`${invoices}\n\n1,2010-12-01T08:26:00Z,7,France,3,1\r\n\r\n2,2010-12-01T08:26:00Z,7\n \n`);
    expect(file).toMatchObject({
      lines: 6,
      emptyLines: 2,
      malformed: ["MALFORMED_ROW number of columns", "MALFORMED_ROW number of columns"],
    });
    expect(file.lines).toBe(1 + file.emptyLines + file.rows.length + file.malformed.length);
  });

  it.each(["latin1", "utf16le"] as const)("are not guessed where the file is in %s: the line is named", (encoding) => {
    const row = "1,2010-12-01T08:26:00Z,7,\u00d6sterreich,3,1\n";
    expect(() => parseFile(Buffer.from(`${invoices}\n2,2010-12-01T08:26:00Z,7,France,3,1\n${row}`, encoding))).toThrow(
      "line 3 is not UTF-8",
    );
  });

  it.each([
    ["\u00d6", "latin1", "iconv -f WINDOWS-1252"],
    ["\ufeff", "utf16le", "iconv -f UTF-16"],
  ] as const)("may be in an encoding that is told by its first bytes: %j in %s", (text, encoding, advice) => {
    expect(() => parseFile(Buffer.from(`${text}${invoices}\n`, encoding))).toThrow(advice);
  });
});

function parseRows(text: string): RowsOfFile {
  return parseFile(Buffer.from(text));
}
