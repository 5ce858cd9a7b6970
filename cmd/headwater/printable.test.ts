import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { printable } from "./printable.ts";
import { table } from "./table.ts";

const dangerous = [
  "\u0000",
  "\u0007",
  "\u001b",
  "\r",
  "\n",
  "\u007f",
  "\u009b",
  "\u061c",
  "\u200e",
  "\u2028",
  "\u202e",
  "\u2066",
  "\ufeff",
];

it.each(dangerous)("%j is shown, as JSON writes it, and not obeyed", (character) => {
  const shown = printable(`a${character}b`);
  expect(shown).not.toContain(character);
  expect(JSON.parse(`"${shown}"`)).toBe(`a${character}b`);
  expect(table(["heading"], [[`a${character}b`]])).toContain(shown);
});

it("letters, accents and pictures stay as they are", () => {
  for (const text of ["Zürich 東京 שלום", "👩‍🚀🎁", "e\u0301"]) expect(printable(text)).toBe(text);
});

it("no command writes past it", () => {
  // Progress draws its own line, and a backup is data.
  const own = new Set(["printable.ts", "progress-bar.ts", join("import", "progress.ts")]);
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" });
  const commands = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !own.has(file));
  const past = commands.filter((file) => /(stdout|stderr)\.write\(|console\./.test(readFileSync(join(import.meta.dirname, file), "utf8")));
  expect(past).toEqual([]);
});
