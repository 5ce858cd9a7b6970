import { create } from "@bufbuild/protobuf";
import { type ProjectionDefinition, projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import {
  type Address,
  type Line,
  type LineQuantity,
  type Money,
  MoneySchema,
  type Order,
  type OrderLine,
  OrderLineSchema,
  OrderSchema,
  OrderStatus,
  PaymentSchema,
  RefundSchema,
  ReturnSchema,
  type Shipment,
  ShipmentSchema,
} from "../../gen/headwater/orders/v1/order_pb.ts";
import { bounded } from "./bounded.ts";
import { searchWordsOf } from "./search-words.ts";
import { happenedAt } from "./time.ts";

/** Required: an event without a fold does not compile. */
type Folds = Required<ProjectionDefinition<typeof OrderEventSchema, typeof OrderSchema>["on"]>;

/** The events are facts: these folds check nothing, and leave out what does not fit, such as items of a line that is not there. */
const folds: Folds = {
  orderCreated(order, { customerId, currencyCode, lines, shippingAddress }, { metadata }) {
    const zero = money(currencyCode, 0n);
    const created = { ...order, status: OrderStatus.DRAFT, customerId, currencyCode, paid: zero, refunded: zero, returned: zero };
    return withLines(withAddress({ ...created, createdAt: happenedAt(metadata) }, shippingAddress), lines.map(orderLine));
  },

  lineAdded: (order, { line }) => (line === undefined ? order : withLines(order, [...order.lines, orderLine(line)])),

  lineQuantityChanged(order, { lineId, quantity }) {
    const changed = (line: OrderLine) => (line.lineId === lineId ? { ...line, quantity, amount: times(line.unitPrice, quantity) } : line);
    return withLines(order, order.lines.map(changed));
  },

  lineRemoved(order, { lineId }) {
    const remaining = order.lines.filter((line) => line.lineId !== lineId);
    return withLines(order, remaining);
  },

  shippingAddressSet: (order, { shippingAddress }) => withAddress(order, shippingAddress),

  orderPlaced: (order, { total }, { metadata }) => ({
    ...order,
    status: isZero(total) ? OrderStatus.PAID : OrderStatus.PLACED,
    placedAt: happenedAt(metadata),
  }),

  paymentRecorded(order, facts, { metadata }) {
    const { paymentId, method, balance } = facts;
    const amount = amountIn(order, facts.amount);
    return {
      ...order,
      status: isZero(balance) ? OrderStatus.PAID : order.status,
      paid: plus(order.paid, amount),
      payments: [...order.payments, create(PaymentSchema, { paymentId, amount, method, paidAt: happenedAt(metadata) })],
    };
  },

  orderShipped(order, { shipmentId, lines, carrier, trackingNumber, complete }, { metadata }) {
    const shipment = create(ShipmentSchema, { shipmentId, lines, carrier, trackingNumber, shippedAt: happenedAt(metadata) });
    return {
      ...order,
      status: complete ? OrderStatus.SHIPPED : OrderStatus.PARTIALLY_SHIPPED,
      lines: withItems(order.lines, lines, "shippedQuantity"),
      shipments: [...order.shipments, shipment],
    };
  },

  orderDelivered(order, { shipmentId, complete }, { metadata }) {
    const arrived = order.shipments.find((shipment) => shipment.shipmentId === shipmentId && shipment.deliveredAt === undefined);
    const delivered = (shipment: Shipment) => (shipment === arrived ? { ...shipment, deliveredAt: happenedAt(metadata) } : shipment);
    return {
      ...order,
      status: complete ? deliveredStatus(order) : order.status,
      lines: withItems(order.lines, arrived?.lines ?? [], "deliveredQuantity"),
      shipments: order.shipments.map(delivered),
    };
  },

  orderCancelled: (order, { reason }) => ({ ...order, status: OrderStatus.CANCELLED, cancellationReason: reason }),

  itemsReturned(order, facts, { metadata }) {
    const { returnId, lines, reason, complete } = facts;
    const amount = amountIn(order, facts.amount);
    return settled({
      ...order,
      status: complete ? OrderStatus.RETURNED : partlyReturnedStatus(order),
      lines: withItems(order.lines, lines, "returnedQuantity"),
      returned: plus(order.returned, amount),
      returns: [...order.returns, create(ReturnSchema, { returnId, lines, amount, reason, returnedAt: happenedAt(metadata) })],
    });
  },

  orderRefunded(order, facts, { metadata }) {
    const { refundId, reason } = facts;
    const amount = amountIn(order, facts.amount);
    return settled({
      ...order,
      refunded: plus(order.refunded, amount),
      refunds: [...order.refunds, create(RefundSchema, { refundId, amount, reason, refundedAt: happenedAt(metadata) })],
    });
  },
};

/** An order with everything that became of it. */
export const orders = projection({
  name: "orders",
  version: 2,
  event: OrderEventSchema,
  document: OrderSchema,
  // Each sort has an index, alone and below the status. A customer's orders and those with a rare word are few: one index serves all sorts.
  indexes: [
    { name: "created", fields: ["createdAt"] },
    { name: "updated", fields: ["updatedAt"] },
    { name: "total", fields: ["total.minorUnits"] },
    { name: "customer-created", fields: ["customerId", "createdAt"] },
    { name: "status-created", fields: ["status", "createdAt"] },
    { name: "status-updated", fields: ["status", "updatedAt"] },
    { name: "status-total", fields: ["status", "total.minorUnits"] },
    { name: "words-created", fields: ["words", "createdAt"], multikey: true },
  ],
  key: ({ metadata }) => metadata?.aggregateId,
  on: folds,
  always: (order, { id, metadata }) => ({ ...order, orderId: id, version: metadata.version, updatedAt: happenedAt(metadata) }),
  derived: (order) => ({ words: searchWordsOf(order) }),
});

function withAddress(order: Order, shippingAddress: Address | undefined): Order {
  return shippingAddress === undefined ? order : { ...order, shippingAddress };
}

function withLines(order: Order, lines: OrderLine[]): Order {
  const total = lines.reduce((sum, { amount }) => sum + minorUnits(amount), 0n);
  const quantity = lines.reduce((sum, line) => sum + BigInt(line.quantity), 0n);
  return { ...order, lines, quantity, total: money(order.currencyCode, total) };
}

function orderLine({ lineId, sku, description, quantity, unitPrice }: Line): OrderLine {
  const price = unitPrice ?? money("", 0n);
  return create(OrderLineSchema, { lineId, sku, description, quantity, unitPrice: price, amount: times(price, quantity) });
}

function times(price: Money | undefined, quantity: number): Money {
  return money(price?.currencyCode ?? "", minorUnits(price) * BigInt(quantity));
}

/** While items are still to be shipped or to arrive, the status says so, whatever came back. */
function partlyReturnedStatus({ status }: Order): OrderStatus {
  return status === OrderStatus.DELIVERED ? OrderStatus.PARTIALLY_RETURNED : status;
}

/** Items that came back before the last parcel arrived show in the status only now. */
function deliveredStatus({ lines }: Order): OrderStatus {
  return lines.some((line) => line.returnedQuantity > 0) ? OrderStatus.PARTIALLY_RETURNED : OrderStatus.DELIVERED;
}

/** A cancelled or returned order is refunded once everything that was paid is paid back, which the last gift's return can bring about. */
function settled(order: Order): Order {
  const isOver = order.status === OrderStatus.CANCELLED || order.status === OrderStatus.RETURNED;
  const paid = minorUnits(order.paid);
  return isOver && paid > 0n && minorUnits(order.refunded) === paid ? { ...order, status: OrderStatus.REFUNDED } : order;
}

/** Adds items to one of the quantities of their lines. */
function withItems(
  lines: readonly OrderLine[],
  items: readonly LineQuantity[],
  stage: "shippedQuantity" | "deliveredQuantity" | "returnedQuantity",
): OrderLine[] {
  const quantities = new Map<string, number>();
  for (const { lineId, quantity } of items) quantities.set(lineId, (quantities.get(lineId) ?? 0) + quantity);
  return lines.map((line) => ({ ...line, [stage]: line[stage] + (quantities.get(line.lineId) ?? 0) }));
}

function amountIn(order: Order, amount: Money | undefined): Money {
  return amount ?? money(order.currencyCode, 0n);
}

function plus(sum: Money | undefined, amount: Money): Money {
  return money(amount.currencyCode, minorUnits(sum) + amount.minorUnits);
}

function money(currencyCode: string, amount: bigint): Money {
  return create(MoneySchema, { currencyCode, minorUnits: bounded(amount) });
}

function minorUnits(amount: Money | undefined): bigint {
  return amount?.minorUnits ?? 0n;
}

function isZero(amount: Money | undefined): boolean {
  return amount?.minorUnits === 0n;
}
