/** Items of some lines: what a parcel holds, or what came back. */

import type { LineQuantity } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { LineState, OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { type Refusal, reject } from "./decision.ts";
import { lineNotFound } from "./lines.ts";

/** Line id to quantity. */
export type Items = ReadonlyMap<string, number>;

/** Adds up what is said of each line: two mentions of a line mean the sum. */
export function itemsOf(lines: readonly LineQuantity[]): Items | Refusal {
  const items = new Map<string, number>();
  for (const { lineId, quantity } of lines) {
    if (quantity < 1) return reject("INVALID_COMMAND", "A quantity of items must be more than zero.");
    items.set(lineId, (items.get(lineId) ?? 0) + quantity);
  }
  return items;
}

/** The items in the order of the order's lines, or all that are available if none are named; or why they cannot be had. */
export function pickItems(
  state: OrderState,
  asked: Items,
  availableOf: (line: LineState) => number,
): { readonly lineId: string; readonly quantity: number }[] | Refusal {
  const lines = new Map(state.lines.map((line) => [line.lineId, line]));
  for (const [lineId, quantity] of asked) {
    const line = lines.get(lineId);
    if (line === undefined) return lineNotFound(lineId);
    const remaining = availableOf(line);
    if (quantity > remaining) {
      return reject("QUANTITY_EXCEEDS_REMAINING", "These are more items of the line than remain; take at most the remaining ones.", {
        line_id: lineId,
        remaining: String(remaining),
      });
    }
  }
  return state.lines
    .map((line) => ({ lineId: line.lineId, quantity: asked.size === 0 ? availableOf(line) : (asked.get(line.lineId) ?? 0) }))
    .filter(({ quantity }) => quantity > 0);
}

export function sameItems(lines: readonly LineQuantity[], items: Items): boolean {
  return lines.length === items.size && lines.every(({ lineId, quantity }) => items.get(lineId) === quantity);
}

/** The same for the same items, whatever their order: 64 bits (FNV-1a) instead of up to 1000 lines for every return. */
export function fingerprintOf(items: Items): string {
  const text = JSON.stringify([...items].toSorted(([one], [other]) => (one < other ? -1 : 1)));
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
