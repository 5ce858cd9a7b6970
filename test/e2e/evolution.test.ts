/** The page about changes of events, followed as it stands in a copy of the repository; and that each step that is left out is noticed. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Change, changesIn, copyTree, sectionOf, type TreeCopy } from "../support/tree-copy.ts";

const page = await readFile("docs/evolution.md", "utf8");
const contract = "proto/headwater/orders/v1/order_event.proto";
const reader = "internal/orders/order-events.ts";
const goldenTest = "vitest run --project unit test/golden";

let copy: TreeCopy;
beforeAll(async () => {
  copy = await copyTree();
});
afterAll(() => copy[Symbol.asyncDispose]());

/** The changes of a section, those of the contract apart from those of the reader and of all other code. */
function stepsOf(heading: string) {
  const changes = changesIn(sectionOf(page, heading));
  const of = (isWanted: (path: string) => boolean) => changes.filter(({ path }) => isWanted(path));
  return {
    contract: of((path) => path === contract),
    reader: of((path) => path === reader),
    code: of((path) => path !== contract && path !== reader),
  };
}

async function apply(changes: readonly Change[]): Promise<void> {
  expect(changes).not.toEqual([]);
  for (const change of changes) await copy.apply(change);
}

it("a field is added as the page says, and what is forgotten is noticed", async () => {
  const steps = stepsOf("Add a field");
  await apply(steps.contract);
  await copy.run("npm run -s generate");
  await apply(steps.code);
  expect(await copy.refusal("npm run -s golden")).toContain("Changed or new since schema version 2 was recorded: order_shipped.");
  await apply(steps.reader);
  const failures = await copy.refusal(goldenTest);
  expect(failures).toContain("order_shipped > is recorded in every schema version since its first, up to today's");
  expect(failures).toContain("order_shipped > in version 1 > has bytes that still say what they said, and mean today what is recorded");
  await copy.run(`npm run -s golden && ${goldenTest}`);
  const golden = await readFile(`${copy.path}/test/golden/events/order_shipped.v1.json`, "utf8");
  expect(JSON.parse(golden)).toMatchObject({ today: { orderShipped: { quantity: "2" } } });
});

it("an event is added as the page says, and the compiler names every place", async () => {
  const steps = stepsOf("Add an event");
  await apply(steps.contract);
  await copy.run("npm run -s generate");
  const complaints = await copy.refusal("tsc");
  const named = [...new Set(complaints.match(/^internal\/orders\/[\w/-]+\.ts/gm))];
  expect(named.toSorted()).toEqual(
    ["domain/evolve.ts", "projection/order.ts", "projection/product-sales.ts", "projection/sales.ts"].map(
      (path) => `internal/orders/${path}`,
    ),
  );
  await apply(steps.code);
  expect(await copy.refusal("npm run -s golden")).toContain("Changed or new since schema version 3 was recorded: order_paid.");
  await apply(steps.reader);
  await copy.run("npm run -s golden");
});

it("an event is retired as the page says, but never removed", async () => {
  const steps = stepsOf("Retire an event");
  await apply(steps.code);
  await apply(steps.contract);
  const file = join(copy.path, contract);
  const grown = await readFile(file, "utf8");
  await writeFile(file, grown.replace(/^.*\bline_quantity_changed\b.*\n/m, ""));
  expect(await copy.refusal("npm run -s proto:breaking")).toContain('"line_quantity_changed"');
  await writeFile(file, grown);
});

/** What a section changes, in its order; the contract comes first. */
async function follow(heading: string, versionIn: string, newer: { readonly refusal: string; readonly golden: string }): Promise<unknown> {
  const changes = changesIn(sectionOf(page, heading));
  await apply(changes.filter(({ path }) => path.startsWith("proto/")));
  await copy.run("npm run -s generate");
  await apply(changes.filter(({ path }) => !path.startsWith("proto/") && path !== versionIn));
  expect(await copy.refusal("npm run -s golden")).toContain(newer.refusal);
  await apply(changes.filter(({ path }) => path === versionIn));
  await copy.run(`npm run -s golden && ${goldenTest}`);
  return JSON.parse(await readFile(`${copy.path}/test/golden/${newer.golden}`, "utf8"));
}

it("a state gets a field as the page says, and older states have it too", async () => {
  const golden = await follow("Add a field to the state", "internal/orders/domain/order-states.ts", {
    refusal: "Changed or new since schema version 1 was recorded: order_state.",
    golden: "states/order_state.v1.json",
  });
  expect(golden).toMatchObject({ message: { lines: [{ quantity: 4 }] }, today: { quantity: "4" } });
});

it("a command gets a field as the page says", async () => {
  const golden = await follow("Add a field to a command", "internal/orders/orders.ts", {
    refusal: "Changed or new since schema version 1 was recorded: place_order.",
    golden: "commands/place_order.v2.json",
  });
  expect(golden).toMatchObject({ message: { command: { placeOrder: { maxTotalMinorUnits: "3" } } } });
});

it("an event is split as the page says, and everything holds", async () => {
  const steps = stepsOf("Split an event");
  await apply(steps.code);
  await apply(steps.contract);
  await apply(steps.reader);
  await copy.run("npm run -s generate && npm run -s golden");
  const contractChecks = "npm run -s proto:lint && npm run -s proto:format && npm run -s proto:breaking";
  await expect(copy.run(`tsc && ${contractChecks} && biome check internal`)).resolves.toBeUndefined();
  await expect(copy.run(`${goldenTest} internal/orders/domain/split.test.ts`)).resolves.toBeUndefined();
});
