/** The importer's account, and what the system shows after it, against a computation of their own. */

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addsUp } from "../../../cmd/headwater/import/account.ts";
import type { SalesTotals, Session } from "../../../sdk/src/index.ts";
import { type DevProcess, startDevProcess } from "../../support/dev-process.ts";
import { type Expected, expectedOf, noSales, type Sales } from "./account.ts";
import { expectStablePages } from "./paging.ts";
import { connect, type Imported, runImport } from "./running-import.ts";

const IMPORT_MS = 300_000;

describe.each(["lines", "invoices"])("the import of %s.csv", (name) => {
  const file = `examples/online-retail/${name}.csv`;
  let dev: DevProcess;
  let expected: Expected;
  let first: Imported;
  let client: ReturnType<typeof connect>;
  let session: Session;

  beforeAll(async () => {
    dev = await startDevProcess();
    expected = await expectedOf(file);
    first = await runImport(file, dev);
    client = connect(dev);
    session = client.session({ token: first.token, timeoutMs: 120_000 });
  }, IMPORT_MS);
  afterAll(async () => {
    client[Symbol.dispose]();
    await dev[Symbol.asyncDispose]();
  });

  it("ends with an account that adds up, to the same sums", () => {
    const { rejected, ...counts } = first.summary;
    const { rows, imported, unmatched, orders, returns } = expected;
    expect(addsUp(first.summary)).toBe(true);
    expect(counts).toMatchObject({ rows, imported, unmatched, orders, returns, unfinished: 0, alreadyThere: 0 });
    expect(Object.values(rejected).reduce((sum, count) => sum + count, 0)).toBe(expected.rejected);
  });

  it(
    "shows every customer what he bought and gave back",
    async () => {
      const shown = await Promise.all([...expected.customers.keys()].map(async (id) => [id, await summaryOf(session, id)] as const));
      expect(new Map(shown)).toEqual(expected.customers);
    },
    IMPORT_MS,
  );

  it("shows every day's sales and returns", async () => {
    expect(await daysOf(session)).toEqual(expected.days);
  });

  it(
    "changes nothing when it is run again",
    async () => {
      const before = await Array.fromAsync(session.dailySales());
      const { summary, token } = await runImport(file, dev);
      const { seconds: _, commandsPerSecond: _rate, alreadyThere, ...same } = summary;
      expect(first.summary).toMatchObject(same);
      expect(alreadyThere).toBe(summary.commands);
      expect(await Array.fromAsync(client.session({ token }).dailySales())).toEqual(before);
    },
    IMPORT_MS,
  );

  // The last one: it changes what the others look at.
  it(
    "has pages that show each order once while orders are added and changed",
    async () => {
      const { pages, changed } = await expectStablePages(dev, first.token);
      expect(pages).toBeGreaterThan(200);
      expect(changed).toBeGreaterThan(200);
    },
    IMPORT_MS,
  );
});

async function summaryOf(session: Session, customerId: string): Promise<Sales> {
  try {
    const { summary } = await session.getCustomerSummary({ customerId });
    return salesOf(summary?.totals[0]);
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return noSales();
    throw error;
  }
}

async function daysOf(session: Session): Promise<ReadonlyMap<string, Sales>> {
  const days = new Map<string, Sales>();
  for await (const { day, totals } of session.dailySales()) days.set(day, salesOf(totals));
  return days;
}

function salesOf(totals: SalesTotals | undefined): Sales {
  if (totals === undefined) return noSales();
  const { orderCount, quantity, amountMinorUnits: pence, returnedQuantity } = totals;
  return { orderCount: Number(orderCount), quantity: Number(quantity), pence, returnedQuantity: Number(returnedQuantity) };
}
