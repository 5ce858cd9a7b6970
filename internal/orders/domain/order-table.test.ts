/** Every command in every state of an order: what happens, or why not. */

import { describe, expect, it } from "vitest";
import { isRejected } from "../../cqrs/aggregate.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { Reason } from "./decision.ts";
import type { evolve } from "./evolve.ts";
import {
  addLine,
  type Command,
  cancelOrder,
  changeLineQuantity,
  createOrder,
  deliverOrder,
  eur,
  placeOrder,
  recordPayment,
  refundOrder,
  removeLine,
  returnItems,
  setShippingAddress,
  shipOrder,
} from "./testing/commands.ts";
import { after, type History, histories } from "./testing/histories.ts";

type Outcome = keyof typeof evolve | Reason | "nothing";
type Row = Readonly<Record<History, Outcome>>;

const statuses: Readonly<Record<History, OrderStatus>> = {
  absent: OrderStatus.UNSPECIFIED,
  draft: OrderStatus.DRAFT,
  placed: OrderStatus.PLACED,
  paid: OrderStatus.PAID,
  partlyShipped: OrderStatus.PARTIALLY_SHIPPED,
  shipped: OrderStatus.SHIPPED,
  delivered: OrderStatus.DELIVERED,
  partlyReturned: OrderStatus.PARTIALLY_RETURNED,
  returned: OrderStatus.RETURNED,
  cancelled: OrderStatus.CANCELLED,
  refundedAfterCancellation: OrderStatus.REFUNDED,
  refundedAfterReturn: OrderStatus.REFUNDED,
};

/** Each with an id that the history has not seen, so that none is a repetition. */
const commands: Readonly<Record<Command["case"], Command>> = {
  createOrder: createOrder(),
  addLine: addLine(),
  changeLineQuantity: changeLineQuantity(),
  removeLine: removeLine(),
  setShippingAddress: setShippingAddress(),
  placeOrder: placeOrder(),
  recordPayment: recordPayment({ paymentId: "new", amount: eur(1n) }),
  shipOrder: shipOrder({ shipmentId: "new" }),
  deliverOrder: deliverOrder(),
  cancelOrder: cancelOrder(),
  returnItems: returnItems({ returnId: "new" }),
  refundOrder: refundOrder({ refundId: "new", amount: eur(1n) }),
};

const table: Readonly<Record<Command["case"], Row>> = {
  createOrder: {
    absent: "orderCreated",
    draft: "ORDER_ALREADY_EXISTS",
    placed: "ORDER_ALREADY_EXISTS",
    paid: "ORDER_ALREADY_EXISTS",
    partlyShipped: "ORDER_ALREADY_EXISTS",
    shipped: "ORDER_ALREADY_EXISTS",
    delivered: "ORDER_ALREADY_EXISTS",
    partlyReturned: "ORDER_ALREADY_EXISTS",
    returned: "ORDER_ALREADY_EXISTS",
    cancelled: "ORDER_ALREADY_EXISTS",
    refundedAfterCancellation: "ORDER_ALREADY_EXISTS",
    refundedAfterReturn: "ORDER_ALREADY_EXISTS",
  },
  addLine: {
    absent: "ORDER_NOT_FOUND",
    draft: "lineAdded",
    placed: "ORDER_NOT_DRAFT",
    paid: "ORDER_NOT_DRAFT",
    partlyShipped: "ORDER_NOT_DRAFT",
    shipped: "ORDER_NOT_DRAFT",
    delivered: "ORDER_NOT_DRAFT",
    partlyReturned: "ORDER_NOT_DRAFT",
    returned: "ORDER_NOT_DRAFT",
    cancelled: "ORDER_NOT_DRAFT",
    refundedAfterCancellation: "ORDER_NOT_DRAFT",
    refundedAfterReturn: "ORDER_NOT_DRAFT",
  },
  changeLineQuantity: {
    absent: "ORDER_NOT_FOUND",
    draft: "lineQuantityChanged",
    placed: "ORDER_NOT_DRAFT",
    paid: "ORDER_NOT_DRAFT",
    partlyShipped: "ORDER_NOT_DRAFT",
    shipped: "ORDER_NOT_DRAFT",
    delivered: "ORDER_NOT_DRAFT",
    partlyReturned: "ORDER_NOT_DRAFT",
    returned: "ORDER_NOT_DRAFT",
    cancelled: "ORDER_NOT_DRAFT",
    refundedAfterCancellation: "ORDER_NOT_DRAFT",
    refundedAfterReturn: "ORDER_NOT_DRAFT",
  },
  removeLine: {
    absent: "ORDER_NOT_FOUND",
    draft: "lineRemoved",
    placed: "ORDER_NOT_DRAFT",
    paid: "ORDER_NOT_DRAFT",
    partlyShipped: "ORDER_NOT_DRAFT",
    shipped: "ORDER_NOT_DRAFT",
    delivered: "ORDER_NOT_DRAFT",
    partlyReturned: "ORDER_NOT_DRAFT",
    returned: "ORDER_NOT_DRAFT",
    cancelled: "ORDER_NOT_DRAFT",
    refundedAfterCancellation: "ORDER_NOT_DRAFT",
    refundedAfterReturn: "ORDER_NOT_DRAFT",
  },
  setShippingAddress: {
    absent: "ORDER_NOT_FOUND",
    draft: "shippingAddressSet",
    placed: "shippingAddressSet",
    paid: "shippingAddressSet",
    partlyShipped: "ORDER_ALREADY_SHIPPED",
    shipped: "ORDER_ALREADY_SHIPPED",
    delivered: "ORDER_ALREADY_SHIPPED",
    partlyReturned: "ORDER_ALREADY_SHIPPED",
    returned: "ORDER_ALREADY_SHIPPED",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "ORDER_ALREADY_SHIPPED",
  },
  placeOrder: {
    absent: "ORDER_NOT_FOUND",
    draft: "orderPlaced",
    placed: "nothing",
    paid: "nothing",
    partlyShipped: "nothing",
    shipped: "nothing",
    delivered: "nothing",
    partlyReturned: "nothing",
    returned: "nothing",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "nothing",
  },
  recordPayment: {
    absent: "ORDER_NOT_FOUND",
    draft: "ORDER_NOT_PLACED",
    placed: "paymentRecorded",
    paid: "ORDER_ALREADY_PAID",
    partlyShipped: "ORDER_ALREADY_PAID",
    shipped: "ORDER_ALREADY_PAID",
    delivered: "ORDER_ALREADY_PAID",
    partlyReturned: "ORDER_ALREADY_PAID",
    returned: "ORDER_ALREADY_PAID",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "ORDER_ALREADY_PAID",
  },
  shipOrder: {
    absent: "ORDER_NOT_FOUND",
    draft: "ORDER_NOT_PLACED",
    placed: "ORDER_NOT_PAID",
    paid: "orderShipped",
    partlyShipped: "orderShipped",
    shipped: "NOTHING_TO_SHIP",
    delivered: "NOTHING_TO_SHIP",
    partlyReturned: "NOTHING_TO_SHIP",
    returned: "NOTHING_TO_SHIP",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "NOTHING_TO_SHIP",
  },
  deliverOrder: {
    absent: "ORDER_NOT_FOUND",
    draft: "NOTHING_TO_DELIVER",
    placed: "NOTHING_TO_DELIVER",
    paid: "NOTHING_TO_DELIVER",
    partlyShipped: "orderDelivered",
    shipped: "orderDelivered",
    delivered: "nothing",
    partlyReturned: "nothing",
    returned: "nothing",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "nothing",
  },
  cancelOrder: {
    absent: "ORDER_NOT_FOUND",
    draft: "orderCancelled",
    placed: "orderCancelled",
    paid: "orderCancelled",
    partlyShipped: "ORDER_ALREADY_SHIPPED",
    shipped: "ORDER_ALREADY_SHIPPED",
    delivered: "ORDER_ALREADY_SHIPPED",
    partlyReturned: "ORDER_ALREADY_SHIPPED",
    returned: "ORDER_ALREADY_SHIPPED",
    cancelled: "nothing",
    refundedAfterCancellation: "nothing",
    refundedAfterReturn: "ORDER_ALREADY_SHIPPED",
  },
  returnItems: {
    absent: "ORDER_NOT_FOUND",
    draft: "ORDER_NOT_DELIVERED",
    placed: "ORDER_NOT_DELIVERED",
    paid: "ORDER_NOT_DELIVERED",
    partlyShipped: "ORDER_NOT_DELIVERED",
    shipped: "ORDER_NOT_DELIVERED",
    delivered: "itemsReturned",
    partlyReturned: "itemsReturned",
    returned: "QUANTITY_EXCEEDS_REMAINING",
    cancelled: "ORDER_CANCELLED",
    refundedAfterCancellation: "ORDER_CANCELLED",
    refundedAfterReturn: "QUANTITY_EXCEEDS_REMAINING",
  },
  refundOrder: {
    absent: "ORDER_NOT_FOUND",
    draft: "NOTHING_TO_REFUND",
    placed: "NOTHING_TO_REFUND",
    paid: "NOTHING_TO_REFUND",
    partlyShipped: "NOTHING_TO_REFUND",
    shipped: "NOTHING_TO_REFUND",
    delivered: "NOTHING_TO_REFUND",
    partlyReturned: "orderRefunded",
    returned: "orderRefunded",
    cancelled: "orderRefunded",
    refundedAfterCancellation: "NOTHING_TO_REFUND",
    refundedAfterReturn: "NOTHING_TO_REFUND",
  },
};

describe.each(Object.entries(table))("%s", (name, row) => {
  it.each(Object.entries(row))("of an order that is %s: %s", (history, outcome) => {
    const { decision } = after(...histories[history as History]).when(commands[name as Command["case"]]);
    expect(isRejected(decision) ? [decision.reason] : decision.map((event) => event.case)).toEqual(outcome === "nothing" ? [] : [outcome]);
  });
});

it.each(Object.entries(statuses))("the status of an order that is %s", (history, status) => {
  expect(after(...histories[history as History]).state.status).toBe(status);
});

it.each(Object.entries(histories).filter(([, past]) => past.length > 0))(
  "the last command repeated, of an order that is %s, changes nothing",
  (_, past) => {
    const { decision } = after(...past).when(past.at(-1) ?? createOrder());
    expect(isRejected(decision) ? decision.reason : decision).toEqual(past.length === 1 ? "ORDER_ALREADY_EXISTS" : []);
  },
);
