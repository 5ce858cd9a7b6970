import type { Money } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { LineState, OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { type Refusal, reject } from "./decision.ts";
import { isCancelled } from "./status.ts";

/** An amount in the order's currency. */
export function moneyOf(state: OrderState, minorUnits: bigint): { readonly currencyCode: string; readonly minorUnits: bigint } {
  return { currencyCode: state.currencyCode, minorUnits };
}

export function minorUnitsOf(amount: Money | undefined): bigint {
  return amount?.minorUnits ?? 0n;
}

export function totalOf(lines: readonly Pick<LineState, "quantity" | "unitPriceMinorUnits">[]): bigint {
  return lines.reduce((total, line) => total + BigInt(line.quantity) * line.unitPriceMinorUnits, 0n);
}

export function balanceOf(state: OrderState): bigint {
  return state.totalMinorUnits - state.paidMinorUnits;
}

/** What may be paid back now: all of a cancelled order's payments, otherwise the value of what came back. */
export function refundableOf(state: OrderState): bigint {
  const { paidMinorUnits, returnedMinorUnits, refundedMinorUnits } = state;
  const due = isCancelled(state) || returnedMinorUnits > paidMinorUnits ? paidMinorUnits : returnedMinorUnits;
  return due - refundedMinorUnits;
}

export function isSameAmount(state: OrderState, recordedMinorUnits: bigint, amount: Money): boolean {
  return amount.minorUnits === recordedMinorUnits && amount.currencyCode === state.currencyCode;
}

export function currencyMismatch(currencyCode: string): Refusal {
  return reject("CURRENCY_MISMATCH", `The amounts of this order are in ${currencyCode}; give this one in the same currency.`, {
    currency_code: currencyCode,
  });
}
