/** Commands with everything filled in that a test does not care about. The order is in EUR and has two lines: 2 × 10.00 and 1 × 5.00. */

import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type { Member, MemberOf, UnionInitOf } from "../../../cqrs/oneof.ts";
import { rejected as rejectedFor, specification } from "../../../cqrs/testing/given.ts";
import type { OrderCommandSchema } from "../../../gen/headwater/orders/v1/order_command_service_pb.ts";
import type { AddressSchema, LineSchema } from "../../../gen/headwater/orders/v1/order_pb.ts";
import type { Reason } from "../decision.ts";
import { order } from "../order.ts";

type Commands = UnionInitOf<typeof OrderCommandSchema>;

export type Command = Member<Commands>;

/** Only the fields that a test cares about, never a whole message: it would replace the defaults. */
type Some<Fields> = Exclude<Fields, Message>;

type Init<Case extends Command["case"]> = Some<MemberOf<Commands, Case>["value"]>;

export const { given } = specification(order);

export const rejected = rejectedFor<Reason>;

export const eur = (minorUnits: bigint) => ({ currencyCode: "EUR", minorUnits });

export const usd = (minorUnits: bigint) => ({ currencyCode: "USD", minorUnits });

export const address = { recipient: "Ada", city: "London", country: "UK" } satisfies MessageInitShape<typeof AddressSchema>;

export const otherAddress = { ...address, city: "Paris", country: "FR" };

export const teapots = line({ lineId: "1", sku: "teapot", quantity: 2, unitPrice: eur(1000n) });

export const cups = line({ lineId: "2", sku: "cup", quantity: 1, unitPrice: eur(500n) });

export function line(init: Some<MessageInitShape<typeof LineSchema>> = {}) {
  return { sku: "spoon", quantity: 1, unitPrice: eur(100n), ...init };
}

export const createOrder = (init: Init<"createOrder"> = {}): Command => ({
  case: "createOrder",
  value: { customerId: "ada", currencyCode: "EUR", lines: [teapots, cups], shippingAddress: address, ...init },
});

export const addLine = (added = line()): Command => ({ case: "addLine", value: { line: added } });

export const changeLineQuantity = (lineId = "1", quantity = 5): Command => ({ case: "changeLineQuantity", value: { lineId, quantity } });

export const removeLine = (lineId = "2"): Command => ({ case: "removeLine", value: { lineId } });

export const setShippingAddress = (shippingAddress: MessageInitShape<typeof AddressSchema> = otherAddress): Command => ({
  case: "setShippingAddress",
  value: { shippingAddress },
});

export const placeOrder = (): Command => ({ case: "placeOrder", value: {} });

export const recordPayment = (init: Init<"recordPayment"> = {}): Command => ({
  case: "recordPayment",
  value: { paymentId: "payment", amount: eur(2500n), method: "card", ...init },
});

export const shipOrder = (init: Init<"shipOrder"> = {}): Command => ({ case: "shipOrder", value: { shipmentId: "parcel", ...init } });

export const deliverOrder = (shipmentId = ""): Command => ({ case: "deliverOrder", value: { shipmentId } });

export const cancelOrder = (): Command => ({ case: "cancelOrder", value: { reason: "changed my mind" } });

export const returnItems = (init: Init<"returnItems"> = {}): Command => ({
  case: "returnItems",
  value: { returnId: "return", lines: [{ lineId: "1", quantity: 1 }], reason: "too large", ...init },
});

export const refundOrder = (init: Init<"refundOrder"> = {}): Command => ({
  case: "refundOrder",
  value: { refundId: "refund", amount: eur(1000n), reason: "returned", ...init },
});
