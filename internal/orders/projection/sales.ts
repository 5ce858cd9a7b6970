/** What an event adds to the sums of its currency: the one place that says what is sold, cancelled, returned, paid and refunded. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Money, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { type SalesTotals, SalesTotalsSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { bounded } from "./bounded.ts";

/** The event's part in the sums; undefined if it changes none. */
export function salesOf({ event }: OrderEvent): SalesTotals | undefined {
  switch (event.case) {
    case "orderPlaced": {
      const { total, quantity } = event.value;
      return sales(total, (amountMinorUnits) => ({ orderCount: 1n, quantity, amountMinorUnits }));
    }
    case "orderCancelled": {
      const { total, quantity, previousStatus } = event.value;
      if (!wasPlaced(previousStatus)) return undefined;
      return sales(total, (cancelledMinorUnits) => ({ cancelledCount: 1n, cancelledQuantity: quantity, cancelledMinorUnits }));
    }
    case "itemsReturned": {
      const { amount, quantity } = event.value;
      return sales(amount, (returnedMinorUnits) => ({ returnedQuantity: quantity, returnedMinorUnits }));
    }
    case "paymentRecorded":
      return sales(event.value.amount, (paidMinorUnits) => ({ paidMinorUnits }));
    case "orderRefunded":
      return sales(event.value.amount, (refundedMinorUnits) => ({ refundedMinorUnits }));
    case "orderCreated":
    case "lineAdded":
    case "lineQuantityChanged":
    case "lineRemoved":
    case "shippingAddressSet":
    case "orderShipped":
    case "orderDelivered":
    case undefined:
      return undefined;
  }
}

export function addSales(a: SalesTotals, b: SalesTotals): SalesTotals {
  return {
    ...a,
    orderCount: bounded(a.orderCount + b.orderCount),
    quantity: bounded(a.quantity + b.quantity),
    amountMinorUnits: bounded(a.amountMinorUnits + b.amountMinorUnits),
    cancelledCount: bounded(a.cancelledCount + b.cancelledCount),
    cancelledQuantity: bounded(a.cancelledQuantity + b.cancelledQuantity),
    cancelledMinorUnits: bounded(a.cancelledMinorUnits + b.cancelledMinorUnits),
    returnedQuantity: bounded(a.returnedQuantity + b.returnedQuantity),
    returnedMinorUnits: bounded(a.returnedMinorUnits + b.returnedMinorUnits),
    paidMinorUnits: bounded(a.paidMinorUnits + b.paidMinorUnits),
    refundedMinorUnits: bounded(a.refundedMinorUnits + b.refundedMinorUnits),
  };
}

/** Without a currency there is no sum that the amount could belong to. */
function sales(
  money: Money | undefined,
  sums: (minorUnits: bigint) => MessageInitShape<typeof SalesTotalsSchema>,
): SalesTotals | undefined {
  if (money === undefined || money.currencyCode === "") return undefined;
  return create(SalesTotalsSchema, { ...sums(money.minorUnits), currencyCode: money.currencyCode });
}

/** Only a draft can be cancelled without having been placed. */
export function wasPlaced(previousStatus: OrderStatus): boolean {
  return previousStatus !== OrderStatus.DRAFT && previousStatus !== OrderStatus.UNSPECIFIED;
}
