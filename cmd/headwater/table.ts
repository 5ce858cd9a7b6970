/** Rows for people: columns are as wide as they must be, and numbers stand at the right. */

import { printable } from "./printable.ts";

export type Cell = string | number;

export function table(headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [headings, ...rows.map((row) => row.map(textOf))];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const isNumeric = headings.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, column) => (isNumeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return `${cells.map(lineOf).join("\n")}\n`;
}

function textOf(cell: Cell): string {
  return typeof cell === "number" ? cell.toLocaleString("en") : printable(cell);
}
