import { expect, it } from "vitest";
import { table } from "./table.ts";

it("columns are as wide as their widest cell, and numbers stand at the right", () => {
  expect(
    table(
      ["topic", "records", "first"],
      [
        ["orders.events.v1", 1_234_567, "a"],
        ["x", 8, "none"],
      ],
    ),
  ).toBe(
    `
topic               records  first
orders.events.v1  1,234,567  a
x                         8  none
`.trimStart(),
  );
});

it("a table without rows is its headings", () => {
  expect(table(["topic", "records"], [])).toBe("topic  records\n");
});
