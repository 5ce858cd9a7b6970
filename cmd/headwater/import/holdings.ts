import { type Invoice, lineIdAt, orderIdOf } from "./invoices.ts";
import type { Row } from "./rows.ts";

/** What comes back of one order by one credit note. */
export interface MatchedReturn {
  readonly orderId: string;
  readonly lines: readonly { readonly lineId: string; readonly quantity: number }[];
  /** How many rows of the credit note it stands for. */
  readonly rows: number;
}

interface HeldLine {
  readonly orderId: string;
  readonly lineId: string;
  readonly sku: string;
  held: number;
}

interface Part {
  readonly line: HeldLine;
  readonly quantity: number;
}

/** The articles that a customer has bought and not returned, by the orders that were imported. */
export class Holdings {
  /** Newest order first. */
  readonly #orders: (readonly HeldLine[])[] = [];

  add(invoice: Invoice): void {
    const orderId = orderIdOf(invoice);
    this.#orders.unshift(invoice.rows.map(({ sku, quantity }, index) => ({ orderId, lineId: lineIdAt(index), sku, held: quantity })));
  }

  /** Takes what the credit note gives back: per row, from the most recent order that still holds the article. */
  take(creditNote: Invoice): { readonly returns: readonly MatchedReturn[]; readonly unmatched: number } {
    const taken = creditNote.rows.map((row) => this.#takeRow(row)).filter((parts) => parts.length > 0);
    const returns = [...Map.groupBy(taken, ([part]) => part?.line.orderId ?? "")].map(([orderId, rows]) => ({
      orderId,
      lines: rows.flat().map(({ line, quantity }) => ({ lineId: line.lineId, quantity })),
      rows: rows.length,
    }));
    return { returns, unmatched: creditNote.rows.length - taken.length };
  }

  /** Gives back what a refused return had taken. */
  release({ orderId, lines }: MatchedReturn): void {
    const order = this.#orders.flat().filter((line) => line.orderId === orderId);
    for (const { lineId, quantity } of lines) {
      const line = order.find((candidate) => candidate.lineId === lineId);
      if (line !== undefined) line.held += quantity;
    }
  }

  /**
   * An order may have several lines with the article: each gives what it holds, in their order, and the rest is asked of the last one. So a
   * quantity that is too large goes to the service as it is, and the service refuses it.
   */
  #takeRow({ sku, quantity: negated }: Row): readonly Part[] {
    const holds = (line: HeldLine): boolean => line.sku === sku && line.held > 0;
    const lines = this.#orders.find((order) => order.some(holds))?.filter(holds) ?? [];
    const parts: Part[] = [];
    let rest = -negated;
    for (const line of lines) {
      const quantity = line === lines.at(-1) ? rest : Math.min(rest, line.held);
      parts.push({ line, quantity });
      line.held -= quantity;
      rest -= quantity;
      if (rest === 0) break;
    }
    return parts;
  }
}
