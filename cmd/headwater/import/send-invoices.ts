import { timestampToMs } from "../../../internal/cqrs/time.ts";
import {
  type Bulk,
  type BulkCommand,
  type Headwater,
  InvalidRequestError,
  OrderRejectedError,
  type Receipt,
} from "../../../sdk/src/index.ts";
import type { Account } from "./account.ts";
import { returnCommand, saleCommands } from "./commands.ts";
import { Holdings } from "./holdings.ts";
import { groupByCustomer, type Invoice, isCreditNote } from "./invoices.ts";

export interface SendOptions {
  readonly headwater: Headwater;
  readonly account: Account;
  readonly maxInFlight: number;
  /** How long a command may take, with all the time in which there is no server. */
  readonly timeoutMs: number;
  /** Ends the import where it is. */
  readonly signal?: AbortSignal;
  readonly onReceipt?: (receipt: Receipt) => void;
}

/**
 * Sends all invoices and counts what becomes of their rows. Returns the token that covers every decision.
 *
 * @throws what ended it before its time: the signal's reason, or the error of a command that is neither accepted nor refused
 */
export async function sendInvoices(invoices: readonly Invoice[], options: SendOptions): Promise<string> {
  const { headwater, maxInFlight, timeoutMs, signal } = options;
  const bulk = headwater.bulk({ maxInFlight, timeoutMs });
  // All workers take from the same iterator, each with one command under way at a time.
  const waiting = groupByCustomer(invoices).values();
  const work = async (): Promise<void> => {
    for (const chain of waiting) await sendChain(chain, bulk, options);
  };
  const stopped = Promise.withResolvers<never>();
  signal?.addEventListener("abort", () => stopped.reject(signal.reason), { once: true });
  await Promise.race([stopped.promise, Promise.all(Array.from({ length: maxInFlight }, work))]);
  await bulk.close();
  return bulk.token;
}

async function sendChain(chain: readonly Invoice[], bulk: Bulk, options: SendOptions): Promise<void> {
  const holdings = new Holdings();
  for (const invoice of chain) {
    if (isCreditNote(invoice)) await sendCreditNote(invoice, holdings, bulk, options);
    else if (await sendSale(invoice, bulk, options)) holdings.add(invoice);
  }
}

/** Whether the order is finished. The first refusal is the invoice's. */
async function sendSale(invoice: Invoice, bulk: Bulk, options: SendOptions): Promise<boolean> {
  const { account } = options;
  for (const command of saleCommands(invoice)) {
    const refusal = await send(command, bulk, options);
    if (refusal !== undefined) {
      account.reject(refusal, invoice.rows.length);
      return false;
    }
  }
  account.orders++;
  account.imported += invoice.rows.length;
  return true;
}

async function sendCreditNote(creditNote: Invoice, holdings: Holdings, bulk: Bulk, options: SendOptions): Promise<void> {
  const { account } = options;
  const { returns, unmatched } = holdings.take(creditNote);
  account.unmatched += unmatched;
  for (const matched of returns) {
    const refusal = await send(returnCommand(creditNote, matched), bulk, options);
    if (refusal === undefined) {
      account.returns++;
      account.imported += matched.rows;
    } else {
      account.reject(refusal, matched.rows);
      holdings.release(matched);
    }
  }
}

/** The reason of the refusal; undefined if the command is accepted. */
async function send(command: BulkCommand, bulk: Bulk, options: SendOptions): Promise<string | undefined> {
  const { account, signal, onReceipt } = options;
  signal?.throwIfAborted();
  try {
    const receipt = await bulk.execute(command);
    account.noteAnswer();
    account.noteAccepted(receipt.acceptedAt === undefined ? Date.now() : timestampToMs(receipt.acceptedAt));
    onReceipt?.(receipt);
    return undefined;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    account.noteAnswer();
    const createdAtMs = error instanceof OrderRejectedError ? await createdBefore(error, options) : undefined;
    if (createdAtMs === undefined) return refusal;
    account.noteAccepted(createdAtMs);
    return undefined;
  }
}

/** When the very command that is refused has created the order: an order remembers its latest commands only, its history all of them. */
async function createdBefore(refused: OrderRejectedError, { headwater, timeoutMs }: SendOptions): Promise<number | undefined> {
  const { reason, orderId, commandId, consistencyToken } = refused;
  if (reason !== "ORDER_ALREADY_EXISTS") return undefined;
  const { events } = await headwater.session({ token: consistencyToken, timeoutMs }).listOrderEvents({ orderId, pageSize: 1 });
  const created = events[0]?.metadata;
  return created?.commandId === commandId && created.recordedAt !== undefined ? timestampToMs(created.recordedAt) : undefined;
}

function refusalOf(error: unknown): string | undefined {
  if (error instanceof OrderRejectedError) return error.reason;
  if (!(error instanceof InvalidRequestError)) return undefined;
  // Without the positions in lists, so that the same mistake counts as the same reason.
  const [violation] = error.violations;
  return `FIELD_VIOLATIONS ${violation?.field.replaceAll(/\[\d+\]/g, "[]") ?? ""}`.trim();
}
