/** Parcels out, and items back. */

import { type DecisionContext, isRejected, nothing } from "../../cqrs/aggregate.ts";
import type { DeliverOrderRequest, ReturnItemsRequest, ShipOrderRequest } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { OrderState, ShipmentState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { event, type OrderDecision, type Refusal, reject } from "./decision.ts";
import { orderCancelled } from "./draft.ts";
import { malformedId, refuseOneMore } from "./entries.ts";
import { entryOf, idOf, isId } from "./ids.ts";
import { fingerprintOf, type Items, itemsOf, pickItems, sameItems } from "./items.ts";
import { MAX_RETURN_LINES, MAX_SHIPMENT_LINES } from "./limits.ts";
import { linesOf } from "./lines.ts";
import { moneyOf } from "./money.ts";
import { hasShipments, isCancelled } from "./status.ts";

export function shipOrder(state: OrderState, command: ShipOrderRequest, context: DecisionContext): OrderDecision {
  const { carrier, trackingNumber } = command;
  const shipmentId = idOf(command.shipmentId, context);
  if (!isId(shipmentId)) return malformedId("shipment");
  const asked = itemsOf(command.lines);
  if (isRejected(asked)) return asked;

  const shipment = entryOf(state.shipments, shipmentId);
  if (shipment !== undefined) {
    if (isSameShipment(state, shipment, asked)) return nothing;
    return reject("SHIPMENT_ALREADY_EXISTS", "A shipment with this id has other content; give this one its own id.", {
      shipment_id: shipmentId,
    });
  }

  const refusal = refuseShipping(state) ?? refuseOneMore(state.shipments, "shipments");
  if (refusal !== undefined) return refusal;
  const lines = pickItems(state, asked, (line) => line.quantity - line.shipped);
  if (isRejected(lines)) return lines;
  if (shipmentLinesOf(state) + lines.length > MAX_SHIPMENT_LINES) {
    return reject("TOO_MANY_ENTRIES", "The shipments of the order have too many lines in all; ship more items of a line at once.", {
      max_shipment_lines: String(MAX_SHIPMENT_LINES),
    });
  }
  const complete = unshippedOf(state) === quantityOf(lines);
  return event("orderShipped", { shipmentId, lines, carrier, trackingNumber, complete });
}

export function deliverOrder(state: OrderState, { shipmentId }: DeliverOrderRequest): OrderDecision {
  if (isCancelled(state)) return orderCancelled();
  if (shipmentId !== "" && entryOf(state.shipments, shipmentId) === undefined) {
    return reject("SHIPMENT_NOT_FOUND", "The order has no shipment with this id; look at its shipments.", { shipment_id: shipmentId });
  }
  if (!hasShipments(state)) return reject("NOTHING_TO_DELIVER", "No shipment is under way; ship something first.");

  const arriving = Object.entries(state.shipments)
    .filter(([id, shipment]) => !shipment.delivered && (shipmentId === "" || shipmentId === id))
    .toSorted(([, one], [, other]) => one.number - other.number);
  let awaited = state.lines.reduce((sum, line) => sum + line.quantity - line.delivered, 0);
  return arriving.flatMap(([id, { lines }]) => {
    awaited -= quantityOf(lines);
    return event("orderDelivered", { shipmentId: id, complete: awaited === 0 });
  });
}

export function returnItems(state: OrderState, command: ReturnItemsRequest, context: DecisionContext): OrderDecision {
  const { reason } = command;
  const returnId = idOf(command.returnId, context);
  if (!isId(returnId)) return malformedId("return");
  if (command.lines.length === 0) return reject("INVALID_COMMAND", "Say which items came back.");
  const asked = itemsOf(command.lines);
  if (isRejected(asked)) return asked;

  const fingerprint = entryOf(state.returns, returnId);
  if (fingerprint !== undefined) {
    if (fingerprint === fingerprintOf(asked)) return nothing;
    return reject("RETURN_ALREADY_EXISTS", "A return with this id has other content; give this one its own id.", { return_id: returnId });
  }

  if (isCancelled(state)) return orderCancelled();
  if (state.lines.every((line) => line.delivered === 0)) {
    return reject("ORDER_NOT_DELIVERED", "Nothing of the order has been delivered; record its delivery first.");
  }
  const oneTooMany = refuseOneMore(state.returns, "returns");
  if (oneTooMany !== undefined) return oneTooMany;
  const lines = pickItems(state, asked, (line) => line.delivered - line.returned);
  if (isRejected(lines)) return lines;
  if (state.returnLines + lines.length > MAX_RETURN_LINES) {
    return reject("TOO_MANY_ENTRIES", "The returns of the order have too many lines in all; take back more items of a line at once.", {
      max_return_lines: String(MAX_RETURN_LINES),
    });
  }
  const quantity = quantityOf(lines);
  return event("itemsReturned", {
    returnId,
    lines,
    reason,
    amount: moneyOf(state, valueOf(state, asked)),
    quantity: BigInt(quantity),
    complete: state.lines.reduce((sum, line) => sum + line.quantity - line.returned, 0) === quantity,
    returnedLines: linesOf(state, ({ lineId }) => asked.get(lineId) ?? 0),
  });
}

function refuseShipping(state: OrderState): Refusal | undefined {
  if (isCancelled(state)) return orderCancelled();
  if (state.status === OrderStatus.DRAFT)
    return reject("ORDER_NOT_PLACED", "The order has not been placed; place and pay it before it is shipped.");
  if (state.status === OrderStatus.PLACED) return reject("ORDER_NOT_PAID", "The payments do not cover the total; record the rest first.");
  if (unshippedOf(state) === 0) return reject("NOTHING_TO_SHIP", "Everything has been shipped.");
  return undefined;
}

/** A command without lines ships the rest, so it is the same only as the shipment after which nothing was left. */
function isSameShipment(state: OrderState, shipment: ShipmentState, asked: Items): boolean {
  if (asked.size > 0) return sameItems(shipment.lines, asked);
  return unshippedOf(state) === 0 && shipment.number === Object.keys(state.shipments).length;
}

function unshippedOf(state: OrderState): number {
  return state.lines.reduce((sum, line) => sum + line.quantity - line.shipped, 0);
}

function shipmentLinesOf(state: OrderState): number {
  return Object.values(state.shipments).reduce((sum, shipment) => sum + shipment.lines.length, 0);
}

function quantityOf(lines: readonly { readonly quantity: number }[]): number {
  return lines.reduce((sum, { quantity }) => sum + quantity, 0);
}

function valueOf(state: OrderState, items: Items): bigint {
  return state.lines.reduce((sum, line) => sum + BigInt(items.get(line.lineId) ?? 0) * line.unitPriceMinorUnits, 0n);
}
