/** From the first line to the placed order, and giving it up. */

import { equals } from "@bufbuild/protobuf";
import { type DecisionContext, isRejected, nothing } from "../../cqrs/aggregate.ts";
import type {
  AddLineRequest,
  CancelOrderRequest,
  ChangeLineQuantityRequest,
  CreateOrderRequest,
  PlaceOrderRequest,
  RemoveLineRequest,
  SetShippingAddressRequest,
} from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { type Address, AddressSchema, type Line, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { LineState, OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { event, type OrderDecision, type Refusal, reject } from "./decision.ts";
import { idOf } from "./ids.ts";
import { admitLines, lineNotFound, lineOf, linesOf, refuseQuantity, refuseTotal, refuseUnlessDraft } from "./lines.ts";
import { moneyOf } from "./money.ts";
import { exists, hasShipments, isCancelled, statusName } from "./status.ts";

export function createOrder(state: OrderState, command: CreateOrderRequest): OrderDecision {
  const { customerId, currencyCode, shippingAddress } = command;
  if (exists(state)) {
    return reject("ORDER_ALREADY_EXISTS", "There is an order with this id; choose another id.", { status: statusName(state) });
  }
  if (!/^[A-Z]{3}$/.test(currencyCode)) return reject("INVALID_COMMAND", "Give the order's currency as an ISO 4217 code, such as EUR.");
  if (shippingAddress !== undefined && !isAddress(shippingAddress)) return incompleteAddress();
  const lines = admitLines({ currencyCode, lines: [] }, command.lines);
  if (isRejected(lines)) return lines;
  return event("orderCreated", { customerId, currencyCode, lines: [...lines], shippingAddress });
}

export function addLine(state: OrderState, command: AddLineRequest, context: DecisionContext): OrderDecision {
  if (command.line === undefined) return reject("INVALID_COMMAND", "Say which line to add.");
  const line = { ...command.line, lineId: idOf(command.line.lineId, context) };
  const present = lineOf(state, line.lineId);
  if (present !== undefined && isSameLine(state, present, line)) return nothing;
  const refusal = refuseUnlessDraft(state);
  if (refusal !== undefined) return refusal;
  const lines = admitLines(state, [line]);
  return isRejected(lines) ? lines : lines.flatMap((admitted) => event("lineAdded", { line: admitted }));
}

export function changeLineQuantity(state: OrderState, { lineId, quantity }: ChangeLineQuantityRequest): OrderDecision {
  const line = lineOf(state, lineId);
  if (line?.quantity === quantity) return nothing;
  const refusal = refuseQuantity(quantity) ?? refuseUnlessDraft(state);
  if (refusal !== undefined) return refusal;
  if (line === undefined) return lineNotFound(lineId);
  const tooLarge = refuseTotal(state.lines.map((other) => (other === line ? { ...line, quantity } : other)));
  return tooLarge ?? event("lineQuantityChanged", { lineId, quantity, previousQuantity: line.quantity });
}

export function removeLine(state: OrderState, { lineId }: RemoveLineRequest): OrderDecision {
  const refusal = refuseUnlessDraft(state);
  if (refusal !== undefined) return refusal;
  return lineOf(state, lineId) === undefined ? lineNotFound(lineId) : event("lineRemoved", { lineId });
}

export function setShippingAddress(state: OrderState, { shippingAddress }: SetShippingAddressRequest): OrderDecision {
  if (shippingAddress === undefined || !isAddress(shippingAddress)) return incompleteAddress();
  if (state.shippingAddress !== undefined && equals(AddressSchema, state.shippingAddress, shippingAddress)) return nothing;
  if (isCancelled(state)) return orderCancelled();
  if (hasShipments(state)) return alreadyShipped("The address cannot change any more; redirect the parcel with its carrier.");
  return event("shippingAddressSet", { shippingAddress });
}

export function placeOrder(state: OrderState, _command: PlaceOrderRequest): OrderDecision {
  const { shippingAddress, totalMinorUnits } = state;
  if (isCancelled(state)) return orderCancelled();
  if (state.status !== OrderStatus.DRAFT) return nothing;
  if (state.lines.length === 0) return reject("ORDER_EMPTY", "The order has no lines; add one before placing it.");
  if (shippingAddress === undefined) return reject("ADDRESS_MISSING", "The order has no shipping address; set one before placing it.");
  return event("orderPlaced", {
    total: moneyOf(state, totalMinorUnits),
    quantity: itemsOf(state),
    lines: linesOf(state),
    shippingAddress,
  });
}

export function cancelOrder(state: OrderState, { reason }: CancelOrderRequest): OrderDecision {
  if (isCancelled(state)) return nothing;
  if (hasShipments(state)) return alreadyShipped("It cannot be cancelled any more; have its items returned.");
  return event("orderCancelled", {
    reason,
    previousStatus: state.status,
    total: moneyOf(state, state.totalMinorUnits),
    quantity: itemsOf(state),
    refundable: moneyOf(state, state.paidMinorUnits),
    lines: linesOf(state),
  });
}

export function orderCancelled(): Refusal {
  return reject("ORDER_CANCELLED", "The order has been cancelled; create another one.");
}

function alreadyShipped(advice: string): Refusal {
  return reject("ORDER_ALREADY_SHIPPED", `Something of the order has been shipped. ${advice}`);
}

function incompleteAddress(): Refusal {
  return reject("INVALID_COMMAND", "A shipping address needs at least its country.");
}

function isAddress(address: Address): boolean {
  return address.country !== "";
}

function isSameLine(state: OrderState, present: LineState, { sku, description, quantity, unitPrice }: Line): boolean {
  return (
    present.sku === sku &&
    present.description === description &&
    present.quantity === quantity &&
    present.unitPriceMinorUnits === unitPrice?.minorUnits &&
    state.currencyCode === unitPrice.currencyCode
  );
}

function itemsOf(state: OrderState): bigint {
  return state.lines.reduce((items, line) => items + BigInt(line.quantity), 0n);
}
