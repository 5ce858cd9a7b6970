/** What an import must come to, computed from the file alone: nothing here is shared with the importer. */

import { readFile } from "node:fs/promises";

export interface Sales {
  orderCount: number;
  quantity: number;
  pence: bigint;
  returnedQuantity: number;
}

export interface Expected {
  readonly rows: number;
  readonly imported: number;
  readonly rejected: number;
  readonly unmatched: number;
  readonly orders: number;
  readonly returns: number;
  readonly customers: ReadonlyMap<string, Sales>;
  readonly days: ReadonlyMap<string, Sales>;
}

interface Entry {
  readonly no: string;
  readonly day: string;
  readonly customer: string;
  readonly sku: string;
  readonly quantity: number;
  readonly pence: bigint;
}

/** A sale, and what its customer still has of it. */
interface Sale {
  readonly held: Map<string, number>;
}

export async function expectedOf(file: string): Promise<Expected> {
  const entries = await readEntries(file);
  const sum = { rows: entries.length, imported: 0, rejected: 0, unmatched: 0, orders: 0, returns: 0 };
  const customers = new Map<string, Sales>();
  const days = new Map<string, Sales>();
  const bought = new Map<string, Sale[]>();
  const add = (first: Entry, sales: Partial<Sales>): void => {
    increase(days, first.day, sales);
    if (first.customer !== "") increase(customers, first.customer, sales);
  };

  for (const invoice of Map.groupBy(entries, ({ no }) => no).values()) {
    const [first] = invoice;
    if (first === undefined) continue;
    if (first.no.startsWith("C")) {
      const outcome = giveBack(invoice, first.customer === "" ? [] : (bought.get(first.customer) ?? []));
      sum.imported += outcome.imported;
      sum.rejected += outcome.rejected;
      sum.unmatched += outcome.unmatched;
      sum.returns += outcome.returns;
      if (outcome.returns > 0) add(first, { returnedQuantity: outcome.quantity });
    } else if (invoice.some(({ quantity, pence }) => quantity < 1 || pence < 0n)) {
      sum.rejected += invoice.length;
    } else {
      const held = new Map<string, number>();
      for (const { sku, quantity } of invoice) held.set(sku, (held.get(sku) ?? 0) + quantity);
      bought.set(first.customer, [...(bought.get(first.customer) ?? []), { held }]);
      sum.imported += invoice.length;
      sum.orders++;
      const quantity = invoice.reduce((total, entry) => total + entry.quantity, 0);
      const pence = invoice.reduce((total, entry) => total + BigInt(entry.quantity) * entry.pence, 0n);
      add(first, { orderCount: 1, quantity, pence });
    }
  }
  return { ...sum, customers, days };
}

/** A credit note is tried on a copy of what each of its sales holds; only where that is enough it counts. */
function giveBack(note: readonly Entry[], sales: readonly Sale[]) {
  const outcome = { imported: 0, rejected: 0, unmatched: 0, returns: 0, quantity: 0 };
  const trials = new Map(sales.map((sale) => [sale, new Map(sale.held)]));
  const asked = new Map<Sale, Entry[]>();
  for (const entry of note) {
    const sale = sales.findLast((candidate) => (trials.get(candidate)?.get(entry.sku) ?? 0) > 0);
    if (sale === undefined) {
      outcome.unmatched++;
      continue;
    }
    const trial = trials.get(sale);
    trial?.set(entry.sku, (trial.get(entry.sku) ?? 0) + entry.quantity);
    asked.set(sale, [...(asked.get(sale) ?? []), entry]);
  }
  for (const [sale, entries] of asked) {
    const left = trials.get(sale) ?? new Map<string, number>();
    if ([...left.values()].some((quantity) => quantity < 0)) {
      outcome.rejected += entries.length;
      continue;
    }
    for (const [sku, quantity] of left) sale.held.set(sku, quantity);
    outcome.imported += entries.length;
    outcome.returns++;
    outcome.quantity -= entries.reduce((total, { quantity }) => total + quantity, 0);
  }
  return outcome;
}

export function noSales(): Sales {
  return { orderCount: 0, quantity: 0, pence: 0n, returnedQuantity: 0 };
}

function increase(sums: Map<string, Sales>, key: string, by: Partial<Sales>): void {
  const sales = sums.get(key) ?? noSales();
  sums.set(key, sales);
  sales.orderCount += by.orderCount ?? 0;
  sales.quantity += by.quantity ?? 0;
  sales.pence += by.pence ?? 0n;
  sales.returnedQuantity += by.returnedQuantity ?? 0;
}

async function readEntries(file: string): Promise<readonly Entry[]> {
  const [header = "", ...lines] = (await readFile(file, "utf8")).trimEnd().split("\n");
  const names = header.split(",");
  return lines.map((line) => {
    const cells = [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
    const cell = (name: string): string => cells[names.indexOf(name)] ?? "";
    return {
      no: cell("invoice_no"),
      day: cell("invoice_date").slice(0, 10),
      customer: cell("customer_id").replace("(blank)", ""),
      sku: cell("stock_code"),
      quantity: Number(cell("quantity")),
      pence: penceOf(cell("unit_price_gbp")),
    };
  });
}

/** In millionths of a pound first, which are whole numbers for every price in the files. */
function penceOf(price: string): bigint {
  const [pounds = "0", fraction = ""] = price.replace("-", "").split(".");
  const millionths = BigInt(pounds) * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
  const pence = (millionths + 5_000n) / 10_000n;
  return price.startsWith("-") ? -pence : pence;
}
