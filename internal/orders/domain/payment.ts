/** Money in and money back. */

import { type DecisionContext, nothing } from "../../cqrs/aggregate.ts";
import type { RecordPaymentRequest, RefundOrderRequest } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { event, type OrderDecision, reject } from "./decision.ts";
import { orderCancelled } from "./draft.ts";
import { malformedId, refuseOneMore } from "./entries.ts";
import { entryOf, idOf, isId } from "./ids.ts";
import { balanceOf, currencyMismatch, isSameAmount, moneyOf, refundableOf } from "./money.ts";
import { isCancelled } from "./status.ts";

export function recordPayment(state: OrderState, command: RecordPaymentRequest, context: DecisionContext): OrderDecision {
  const { amount, method } = command;
  const paymentId = idOf(command.paymentId, context);
  if (!isId(paymentId)) return malformedId("payment");
  if (amount === undefined || amount.minorUnits <= 0n) return reject("INVALID_COMMAND", "A payment needs an amount of more than zero.");

  const recorded = entryOf(state.payments, paymentId);
  if (recorded !== undefined) {
    if (isSameAmount(state, recorded, amount)) return nothing;
    return reject("PAYMENT_ALREADY_RECORDED", "A payment with this id was recorded with another amount; give this one its own id.", {
      payment_id: paymentId,
      recorded_minor_units: String(recorded),
    });
  }

  if (isCancelled(state)) return orderCancelled();
  if (state.status === OrderStatus.DRAFT) return reject("ORDER_NOT_PLACED", "The order has not been placed; place it before it is paid.");
  if (state.status !== OrderStatus.PLACED) return reject("ORDER_ALREADY_PAID", "The order is paid; nothing is due.");
  if (amount.currencyCode !== state.currencyCode) return currencyMismatch(state.currencyCode);
  const balance = balanceOf(state);
  if (amount.minorUnits > balance) {
    return reject("PAYMENT_EXCEEDS_BALANCE", "The payment is larger than what is due; pay at most the balance.", {
      balance_minor_units: String(balance),
    });
  }
  const oneTooMany = refuseOneMore(state.payments, "payments");
  if (oneTooMany !== undefined) return oneTooMany;
  return event("paymentRecorded", { paymentId, amount, method, balance: moneyOf(state, balance - amount.minorUnits) });
}

export function refundOrder(state: OrderState, command: RefundOrderRequest, context: DecisionContext): OrderDecision {
  const { amount, reason } = command;
  const refundId = idOf(command.refundId, context);
  if (!isId(refundId)) return malformedId("refund");
  if (amount === undefined || amount.minorUnits <= 0n) return reject("INVALID_COMMAND", "A refund needs an amount of more than zero.");

  const recorded = entryOf(state.refunds, refundId);
  if (recorded !== undefined) {
    if (isSameAmount(state, recorded, amount)) return nothing;
    return reject("REFUND_ALREADY_RECORDED", "A refund with this id was recorded with another amount; give this one its own id.", {
      refund_id: refundId,
      recorded_minor_units: String(recorded),
    });
  }

  const refundable = refundableOf(state);
  if (refundable === 0n) {
    return reject("NOTHING_TO_REFUND", "Nothing is to be paid back: refunds follow a cancellation of a paid order, or returned items.");
  }
  if (amount.currencyCode !== state.currencyCode) return currencyMismatch(state.currencyCode);
  if (amount.minorUnits > refundable) {
    return reject("REFUND_EXCEEDS_REFUNDABLE", "The refund is larger than what is to be paid back; refund at most that.", {
      refundable_minor_units: String(refundable),
    });
  }
  const oneTooMany = refuseOneMore(state.refunds, "refunds");
  if (oneTooMany !== undefined) return oneTooMany;
  const complete = state.refundedMinorUnits + amount.minorUnits === state.paidMinorUnits;
  return event("orderRefunded", { refundId, amount, reason, complete });
}
