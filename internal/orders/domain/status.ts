import { OrderStatus, OrderStatusSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { LineState, OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";

export function exists(state: OrderState): boolean {
  return state.status !== OrderStatus.UNSPECIFIED;
}

/** REFUNDED has two pasts: an order with shipments was returned, one without was cancelled. */
export function isCancelled(state: OrderState): boolean {
  return state.status === OrderStatus.CANCELLED || (state.status === OrderStatus.REFUNDED && !hasShipments(state));
}

export function hasShipments(state: OrderState): boolean {
  return Object.keys(state.shipments).length > 0;
}

/** The status as clients know it, without its prefix. */
export function statusName(state: OrderState): string {
  return OrderStatusSchema.value[state.status]?.localName ?? String(state.status);
}

/**
 * Where an order stands by what became of its items and its money. What is still to be done comes first: while items remain to be shipped or
 * to arrive, the status says so, even if others have come back already, so the rest can be shipped and the returns show in the quantities.
 */
export function fulfilmentStatus(state: OrderState): OrderStatus {
  const { lines } = state;
  if (lines.every(cameBack)) return settledStatus({ ...state, status: OrderStatus.RETURNED });
  if (lines.every(hasArrived)) return lines.some((line) => line.returned > 0) ? OrderStatus.PARTIALLY_RETURNED : OrderStatus.DELIVERED;
  return lines.every(hasLeft) ? OrderStatus.SHIPPED : OrderStatus.PARTIALLY_SHIPPED;
}

/** A cancelled or returned order is refunded once all that was paid is paid back. One that nobody paid for stays what it is. */
export function settledStatus(state: OrderState): OrderStatus {
  const isOver = state.status === OrderStatus.CANCELLED || state.status === OrderStatus.RETURNED;
  const isPaidBack = state.paidMinorUnits > 0n && state.refundedMinorUnits === state.paidMinorUnits;
  return isOver && isPaidBack ? OrderStatus.REFUNDED : state.status;
}

function hasLeft(line: LineState): boolean {
  return line.shipped === line.quantity;
}

function hasArrived(line: LineState): boolean {
  return line.delivered === line.quantity;
}

function cameBack(line: LineState): boolean {
  return line.returned === line.quantity;
}
