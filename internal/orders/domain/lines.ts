import { type Line, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { LineState, OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { type Refusal, reject } from "./decision.ts";
import { isLineId } from "./ids.ts";
import { MAX_LINES, MAX_QUANTITY, MAX_TOTAL_MINOR_UNITS } from "./limits.ts";
import { currencyMismatch, moneyOf, totalOf } from "./money.ts";

type OrderSoFar = Pick<OrderState, "currencyCode" | "lines">;

/** The lines as they become part of the order, each with its id; or why they cannot. */
export function admitLines(order: OrderSoFar, lines: readonly Line[]): readonly Line[] | Refusal {
  if (order.lines.length + lines.length > MAX_LINES) {
    return reject("TOO_MANY_LINES", `An order has at most ${MAX_LINES} lines; put the others into another order.`, {
      max_lines: String(MAX_LINES),
    });
  }
  for (const line of lines) {
    const refusal = refuseLine(order, line);
    if (refusal !== undefined) return refusal;
  }
  const taken = new Set(order.lines.map((line) => line.lineId));
  for (const { lineId } of lines) {
    if (lineId !== "" && taken.has(lineId)) {
      return reject("LINE_ALREADY_EXISTS", "The order has a line with this id; choose another id or change that line.", {
        line_id: lineId,
      });
    }
    taken.add(lineId);
  }
  return refuseTotal([...order.lines, ...lines.map(priced)]) ?? numberLines(lines);
}

export function refuseTotal(lines: readonly Pick<LineState, "quantity" | "unitPriceMinorUnits">[]): Refusal | undefined {
  const total = totalOf(lines);
  if (total <= MAX_TOTAL_MINOR_UNITS) return undefined;
  return reject("AMOUNT_TOO_LARGE", "The order's total would be larger than allowed; order less of it, or split the order.", {
    max_total_minor_units: String(MAX_TOTAL_MINOR_UNITS),
  });
}

export function refuseQuantity(quantity: number): Refusal | undefined {
  if (quantity >= 1 && quantity <= MAX_QUANTITY) return undefined;
  return reject("INVALID_COMMAND", `A line has between 1 and ${MAX_QUANTITY} items; remove it if it has none.`);
}

export function refuseUnlessDraft(state: OrderState): Refusal | undefined {
  if (state.status === OrderStatus.DRAFT) return undefined;
  return reject("ORDER_NOT_DRAFT", "The lines of an order are fixed once it is placed or cancelled; create another order.");
}

export function lineOf(state: OrderState, lineId: string): LineState | undefined {
  return state.lines.find((line) => line.lineId === lineId);
}

/** The lines as events tell them: all that was ordered, or some items of them. */
export function linesOf(state: OrderState, quantityOf = (line: LineState): number => line.quantity) {
  return state.lines
    .map((line) => ({
      lineId: line.lineId,
      sku: line.sku,
      description: line.description,
      quantity: quantityOf(line),
      unitPrice: moneyOf(state, line.unitPriceMinorUnits),
    }))
    .filter(({ quantity }) => quantity > 0);
}

export function lineNotFound(lineId: string): Refusal {
  return reject("LINE_NOT_FOUND", "The order has no line with this id; look at its lines.", { line_id: lineId });
}

function refuseLine(order: OrderSoFar, { lineId, sku, quantity, unitPrice }: Line): Refusal | undefined {
  if (lineId !== "" && !isLineId(lineId)) {
    return reject(
      "INVALID_COMMAND",
      "A line's id has up to 36 letters, digits, dots, underscores, colons and hyphens, and begins with a letter or digit.",
    );
  }
  if (sku === "") return reject("INVALID_COMMAND", "A line needs the sku of its article.");
  if (unitPrice === undefined || unitPrice.minorUnits < 0n) return reject("INVALID_COMMAND", "A line needs a unit price of zero or more.");
  if (unitPrice.currencyCode !== order.currencyCode) return currencyMismatch(order.currencyCode);
  return refuseQuantity(quantity);
}

/** Those without an id get the smallest numbers that no line has. */
function numberLines(lines: readonly Line[]): readonly Line[] {
  const taken = new Set(lines.map(({ lineId }) => lineId));
  let number = 0;
  return lines.map((line) => {
    if (line.lineId !== "") return line;
    do number += 1;
    while (taken.has(String(number)));
    return { ...line, lineId: String(number) };
  });
}

function priced({ quantity, unitPrice }: Line): Pick<LineState, "quantity" | "unitPriceMinorUnits"> {
  return { quantity, unitPriceMinorUnits: unitPrice?.minorUnits ?? 0n };
}
