/** The importer against a running system, in the test's own process, so that the test sees every receipt. */

import { readFile } from "node:fs/promises";
import { Account, type AccountSummary } from "../../../cmd/headwater/import/account.ts";
import { groupInvoices } from "../../../cmd/headwater/import/invoices.ts";
import { parseRows } from "../../../cmd/headwater/import/rows.ts";
import { sendInvoices } from "../../../cmd/headwater/import/send-invoices.ts";
import type { Receipt, Session } from "../../../sdk/src/index.ts";
import { connectGrpc } from "../../../sdk/src/node.ts";

/** Histories are asked for one order at a time: so many at once keep the server busy. */
const READERS = 64;

export interface Addresses {
  readonly commandAddress: string;
  readonly queryAddress: string;
}

export interface Imported {
  readonly summary: AccountSummary;
  /** Covers everything that the import has written. */
  readonly token: string;
}

/** What a reader can see of the whole system, as text that can be compared. */
export interface Readable {
  readonly orders: ReadonlyMap<string, string>;
  readonly histories: ReadonlyMap<string, readonly string[]>;
  /** Of every event of an order, in the order of its history. */
  readonly versions: ReadonlyMap<string, readonly number[]>;
  /** The command behind every event of an order, in the order of its history. */
  readonly commands: ReadonlyMap<string, readonly string[]>;
  readonly customers: ReadonlyMap<string, string>;
  readonly days: readonly string[];
}

export function connect({ commandAddress, queryAddress }: Addresses) {
  return connectGrpc({ commandUrl: `http://${commandAddress}`, queryUrl: `http://${queryAddress}` });
}

export async function runImport(file: string, addresses: Addresses, onReceipt: (receipt: Receipt) => void = () => {}): Promise<Imported> {
  using headwater = connect(addresses);
  const { lines, emptyLines, rows } = parseRows(await readFile(file));
  const account = new Account({ lines, emptyLines, rows: rows.length });
  const token = await sendInvoices(groupInvoices(rows), { headwater, account, maxInFlight: 512, timeoutMs: 120_000, onReceipt });
  return { summary: account.summary(), token };
}

export async function readEverything(addresses: Addresses, token: string): Promise<Readable> {
  using headwater = connect(addresses);
  const session = headwater.session({ token, timeoutMs: 120_000 });
  const orders = new Map<string, string>();
  const customerIds = new Set<string>();
  for await (const order of session.orders({ pageSize: 500 })) {
    orders.set(order.orderId, comparable(order));
    if (order.customerId !== "") customerIds.add(order.customerId);
  }
  const histories = new Map<string, readonly string[]>();
  const versions = new Map<string, readonly number[]>();
  const commands = new Map<string, readonly string[]>();
  const orderIds = orders.keys();
  const read = async (): Promise<void> => {
    for (const orderId of orderIds) {
      const events = await historyOf(session, orderId);
      versions.set(
        orderId,
        events.map(({ metadata }) => metadata?.version ?? 0),
      );
      commands.set(
        orderId,
        events.map(({ metadata }) => metadata?.commandId ?? ""),
      );
      histories.set(orderId, events.map(comparable));
    }
  };
  const unread = customerIds.values();
  const customers = new Map<string, string>();
  const readCustomers = async (): Promise<void> => {
    for (const customerId of unread)
      customers.set(customerId, comparable((await session.getCustomerSummary({ customerId })).summary ?? {}));
  };
  await Promise.all(Array.from({ length: READERS }, read));
  await Promise.all(Array.from({ length: READERS }, readCustomers));
  return { orders, histories, versions, commands, customers, days: await Array.fromAsync(session.dailySales(), comparable) };
}

async function historyOf(session: Session, orderId: string) {
  return Array.fromAsync(session.orderEvents({ orderId, pageSize: 500 }));
}

/** Without what may differ between two runs: when a command was accepted, and its place among the commands of other orders. */
function comparable(message: object): string {
  const ignored = new Set(["recordedAt", "sequence"]);
  return JSON.stringify(message, (key, value: unknown) => {
    if (ignored.has(key)) return undefined;
    return typeof value === "bigint" ? String(value) : value;
  });
}
