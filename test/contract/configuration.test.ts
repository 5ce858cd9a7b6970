/** docs/configuration.md tells what the processes tell of themselves. */

import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { allOptions } from "../../internal/process/options.ts";
import { optionsOf, processNames, type ToldOption } from "../support/help.ts";

const page = await readFile("docs/configuration.md", "utf8");
const told = new Map(
  await Promise.all([...processNames, "dev" as const, "operator" as const].map(async (name) => [name, await optionsOf(name)] as const)),
);

it("every option of every process is one that a shared file may set, and every such option is read", () => {
  const flags = new Set([...told.values()].flatMap((options) => [...options.keys()]));
  expect(flags).toEqual(new Set([...Object.keys(allOptions), "config"]));
});

it("the page has every option, with its variable, its default and the processes that read it", () => {
  const rows = page.split("\n").filter((line) => line.startsWith("| `--"));
  expect(rows).toEqual([...Object.keys(allOptions), "config"].map(rowOf));
});

function rowOf(flag: string): string {
  const readers = [...told].flatMap(([name, options]) => {
    const option = options.get(flag);
    return option === undefined ? [] : [{ name, option }];
  });
  const names = readers.map(({ name }) => name);
  const all = [...told.keys()];
  const processes = all.filter((name) => name !== "operator");
  const who = names.join() === all.join() ? "all" : names.join() === processes.join() ? "all processes" : names.join(", ");
  const { help = "", variable = "" } = readers[0]?.option ?? {};
  return `| \`--${flag}\` | \`${variable}\` | ${fallbacksOf(readers)} | ${who} | ${help} |`;
}

/** The default of most, and of whom it is another. */
function fallbacksOf(readers: readonly { readonly name: string; readonly option: ToldOption }[]): string {
  const [first, ...others] = [...Map.groupBy(readers, ({ option }) => option.fallback)];
  const exceptions = others.map(([fallback, { 0: reader }]) => `, of ${reader?.name} ${quoted(fallback)}`);
  return `${quoted(first?.[0] ?? "")}${exceptions.join("")}`;
}

function quoted(fallback: string): string {
  return fallback === "" || fallback.includes(" ") ? fallback : `\`${fallback}\``;
}
