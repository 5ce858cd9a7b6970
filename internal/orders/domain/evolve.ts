/** What each event makes of an order. Events are facts: nothing is checked here. */

import { create } from "@bufbuild/protobuf";
import type { Member, MemberOf, UnionOf } from "../../cqrs/oneof.ts";
import type { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Line, type LineQuantity, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { type LineState, LineStateSchema, type OrderState, ShipmentStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { entryOf } from "./ids.ts";
import { fingerprintOf } from "./items.ts";
import { minorUnitsOf, totalOf } from "./money.ts";
import { fulfilmentStatus, settledStatus } from "./status.ts";

type Event = UnionOf<typeof OrderEventSchema>;

export const evolve: {
  readonly [Case in Member<Event>["case"]]: (state: OrderState, facts: MemberOf<Event, Case>["value"]) => OrderState;
} = {
  orderCreated: (state, { customerId, currencyCode, lines, shippingAddress }) => ({
    ...withLines(state, lines.map(lineState)),
    status: OrderStatus.DRAFT,
    customerId,
    currencyCode,
    shippingAddress,
  }),

  lineAdded: (state, { line }) => (line === undefined ? state : withLines(state, [...state.lines, lineState(line)])),

  lineQuantityChanged: (state, { lineId, quantity }) =>
    withLines(
      state,
      state.lines.map((line) => (line.lineId === lineId ? { ...line, quantity } : line)),
    ),

  lineRemoved: (state, { lineId }) =>
    withLines(
      state,
      state.lines.filter((line) => line.lineId !== lineId),
    ),

  shippingAddressSet: (state, { shippingAddress }) => ({ ...state, shippingAddress }),

  orderPlaced: (state) => ({
    ...state,
    // An order of gifts only has nothing to wait for.
    status: state.totalMinorUnits === 0n ? OrderStatus.PAID : OrderStatus.PLACED,
    salesCountry: state.shippingAddress?.country ?? "",
  }),

  paymentRecorded(state, { paymentId, amount }) {
    const paidMinorUnits = state.paidMinorUnits + minorUnitsOf(amount);
    return {
      ...state,
      status: paidMinorUnits >= state.totalMinorUnits ? OrderStatus.PAID : OrderStatus.PLACED,
      paidMinorUnits,
      payments: { ...state.payments, [paymentId]: minorUnitsOf(amount) },
    };
  },

  orderShipped(state, { shipmentId, lines }) {
    const number = Object.keys(state.shipments).length + 1;
    const shipment = create(ShipmentStateSchema, { lines, delivered: false, number });
    const shipped = moveItems(state, lines, "shipped");
    return withFulfilment({ ...shipped, shipments: { ...state.shipments, [shipmentId]: shipment } });
  },

  orderDelivered(state, { shipmentId }) {
    const shipment = entryOf(state.shipments, shipmentId);
    if (shipment === undefined) return state;
    const delivered = moveItems(state, shipment.lines, "delivered");
    return withFulfilment({ ...delivered, shipments: { ...state.shipments, [shipmentId]: { ...shipment, delivered: true } } });
  },

  orderCancelled: (state) => ({ ...state, status: OrderStatus.CANCELLED }),

  itemsReturned(state, { returnId, lines, amount }) {
    const fingerprint = fingerprintOf(new Map(lines.map(({ lineId, quantity }) => [lineId, quantity])));
    return withFulfilment({
      ...moveItems(state, lines, "returned"),
      returnedMinorUnits: state.returnedMinorUnits + minorUnitsOf(amount),
      returns: { ...state.returns, [returnId]: fingerprint },
      returnLines: state.returnLines + lines.length,
    });
  },

  orderRefunded(state, { refundId, amount }) {
    const refunded = {
      ...state,
      refundedMinorUnits: state.refundedMinorUnits + minorUnitsOf(amount),
      refunds: { ...state.refunds, [refundId]: minorUnitsOf(amount) },
    };
    return { ...refunded, status: settledStatus(refunded) };
  },
};

function withLines(state: OrderState, lines: LineState[]): OrderState {
  return { ...state, lines, totalMinorUnits: totalOf(lines) };
}

function withFulfilment(state: OrderState): OrderState {
  return { ...state, status: fulfilmentStatus(state) };
}

function moveItems(state: OrderState, moved: readonly LineQuantity[], stage: "shipped" | "delivered" | "returned"): OrderState {
  const quantities = new Map(moved.map(({ lineId, quantity }) => [lineId, quantity]));
  return { ...state, lines: state.lines.map((line) => ({ ...line, [stage]: line[stage] + (quantities.get(line.lineId) ?? 0) })) };
}

function lineState({ lineId, sku, description, quantity, unitPrice }: Line): LineState {
  return create(LineStateSchema, { lineId, sku, description, quantity, unitPriceMinorUnits: minorUnitsOf(unitPrice) });
}
