import { expect, it } from "vitest";
import { parseMinorUnits } from "./money.ts";

it.each([
  ["2.55", 255n],
  ["0", 0n],
  ["7", 700n],
  ["2.1", 210n],
  ["1.005", 101n],
  ["1.0049", 100n],
  ["0.995", 100n],
  ["-1.005", -101n],
  ["-0.004", 0n],
  ["-11062.06", -1_106_206n],
])("%s pounds are %s pence", (text, pence) => expect(parseMinorUnits(text)).toBe(pence));

it.each(["", "-", ".5", "1.", "1,5", "1e3", " 1", "NaN", "1.2.3", "1234567890123"])("%j is no amount", (text) =>
  expect(parseMinorUnits(text)).toBeUndefined(),
);
