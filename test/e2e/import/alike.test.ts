/**
 * The two forms of the system show the same after the same import, document by document: orders, histories, customers and days. With
 * ORDERS=invoices it is the larger file, which takes some minutes.
 */

import { describe, expect, it } from "vitest";
import { embedded, type SystemForm, separate } from "../../support/systems.ts";
import { type Readable, readEverything, runImport } from "./running-import.ts";

const file = `examples/online-retail/${process.env["ORDERS"] ?? "lines"}.csv`;

const IMPORT_MS = 600_000;

describe.skipIf(separate.isMissing)(file, () => {
  it(
    "leaves the same documents in one process and on Kafka and MongoDB",
    async () => {
      const [first, second] = [await imported(embedded), await imported(separate)];
      expect(first.documents.orders.size).toBeGreaterThan(400);
      expect(second.summary).toEqual(first.summary);
      for (const kind of ["orders", "histories", "versions", "commands", "customers"] as const) {
        expect(sorted(second.documents[kind])).toEqual(sorted(first.documents[kind]));
      }
      expect(second.documents.days).toEqual(first.documents.days);
    },
    IMPORT_MS,
  );
});

async function imported({ start }: SystemForm): Promise<{ readonly summary: object; readonly documents: Readable }> {
  await using system = await start();
  const { summary, token } = await runImport(file, system);
  const { seconds: _, commandsPerSecond: _rate, ...counts } = summary;
  return { summary: counts, documents: await readEverything(system, token) };
}

function sorted(documents: ReadonlyMap<string, unknown>): readonly (readonly [string, unknown])[] {
  return [...documents].sort(([first], [second]) => (first < second ? -1 : 1));
}
