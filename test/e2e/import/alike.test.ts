/**
 * The two forms of the system show the same after the same import, document by document: orders, histories, customers and days. With
 * ORDERS=invoices it is the larger file, which takes some minutes.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { embedded, type RunningSystem, separate } from "../../support/systems.ts";
import { expectStablePages } from "./paging.ts";
import { type Imported, readEverything, runImport } from "./running-import.ts";

const file = `examples/online-retail/${process.env["ORDERS"] ?? "lines"}.csv`;

const IMPORT_MS = 600_000;

describe.skipIf(separate.isMissing)(file, () => {
  let system: RunningSystem;
  let imported: Imported;
  beforeAll(async () => {
    system = await separate.start();
    imported = await runImport(file, system);
  }, IMPORT_MS);
  afterAll(() => system[Symbol.asyncDispose]());

  it(
    "leaves the same documents in one process and on Kafka and MongoDB",
    async () => {
      await using other = await embedded.start();
      const importedThere = await runImport(file, other);
      expect(countsOf(imported)).toEqual(countsOf(importedThere));
      const [here, there] = [await readEverything(system, imported.token), await readEverything(other, importedThere.token)];
      expect(here.orders.size).toBeGreaterThan(400);
      for (const kind of ["orders", "histories", "versions", "commands", "customers"] as const) {
        expect(sorted(here[kind])).toEqual(sorted(there[kind]));
      }
      expect(here.days).toEqual(there.days);
    },
    IMPORT_MS,
  );

  // The last one: it changes what the other looks at.
  it(
    "has pages on MongoDB that show each order once while orders are added and changed",
    async () => {
      const { pages, changed } = await expectStablePages(system, imported.token);
      expect(pages).toBeGreaterThan(200);
      expect(changed).toBeGreaterThan(200);
    },
    IMPORT_MS,
  );
});

function countsOf({ summary }: Imported): object {
  const { seconds: _, commandsPerSecond: _rate, ...counts } = summary;
  return counts;
}

function sorted(documents: ReadonlyMap<string, unknown>): readonly (readonly [string, unknown])[] {
  return [...documents].sort(([first], [second]) => (first < second ? -1 : 1));
}
