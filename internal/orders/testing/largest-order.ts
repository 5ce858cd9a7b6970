/** An order as large as the rules allow: every field that the contract bounds is full. */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { isRejected } from "../../cqrs/aggregate.ts";
import type { Member, UnionInitOf } from "../../cqrs/oneof.ts";
import { EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import {
  type CreateOrderRequest,
  CreateOrderRequestSchema,
  OrderCommandSchema,
} from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { OrderState } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { MAX_ENTRIES, MAX_LINES, MAX_QUANTITY, MAX_RETURN_LINES, MAX_SHIPMENT_LINES } from "../domain/limits.ts";
import { order } from "../domain/order.ts";

type Command = Member<UnionInitOf<typeof OrderCommandSchema>>;

const ORDER_ID = "o".repeat(64);
const MS_OF_LAST_YEAR = Date.parse("9999-12-31T23:59:59Z");

/** Four bytes each in UTF-8, and twelve in JSON that is ASCII only. */
function text(length: number): string {
  return "\u{1F381}".repeat(length);
}

function id(prefix: string, number: number, length: number): string {
  return `${prefix}${number}`.padEnd(length, "-");
}

/** The command that creates it. */
export function largestCreation(): CreateOrderRequest {
  return create(CreateOrderRequestSchema, {
    orderId: ORDER_ID,
    options: { commandId: "00000000-0000-4000-8000-000000000000" },
    customerId: text(64),
    currencyCode: "EUR",
    lines: Array.from({ length: MAX_LINES }, (_, number) => ({
      lineId: id("l", number, 36),
      sku: text(64),
      description: text(256),
      quantity: MAX_QUANTITY,
      unitPrice: { currencyCode: "EUR", minorUnits: 1_000_000n },
    })),
    shippingAddress: {
      recipient: text(128),
      addressLines: Array.from({ length: 5 }, () => text(128)),
      city: text(128),
      postalCode: text(16),
      region: text(64),
      country: text(64),
    },
  });
}

/** All that happens to it, and what the write side remembers at the end. */
export function largestHistory(): { readonly events: readonly OrderEvent[]; readonly state: OrderState } {
  const creation = largestCreation();
  const total = BigInt(MAX_LINES) * BigInt(MAX_QUANTITY) * 1_000_000n;
  const some = (entry: number, lines: number) =>
    Array.from({ length: lines }, (_, number) => ({
      lineId: creation.lines[(entry * lines + number) % MAX_LINES]?.lineId ?? "",
      quantity: MAX_QUANTITY / MAX_ENTRIES,
    }));
  const eur = (minorUnits: bigint) => ({ currencyCode: "EUR", minorUnits });
  const each = (command: (entry: number) => Command) => Array.from({ length: MAX_ENTRIES }, (_, entry) => command(entry));
  const commands: readonly Command[] = [
    { case: "createOrder", value: creation },
    { case: "placeOrder", value: {} },
    ...each((entry) => ({
      case: "recordPayment",
      value: { paymentId: id("p", entry, 64), amount: eur(total / BigInt(MAX_ENTRIES)), method: text(32) },
    })),
    ...each((entry) => ({
      case: "shipOrder",
      value: {
        shipmentId: id("s", entry, 64),
        lines: some(entry, MAX_SHIPMENT_LINES / MAX_ENTRIES),
        carrier: text(64),
        trackingNumber: text(64),
      },
    })),
    { case: "deliverOrder", value: {} },
    ...each((entry) => ({
      case: "returnItems",
      value: { returnId: id("r", entry, 64), lines: some(entry, MAX_RETURN_LINES / MAX_ENTRIES), reason: text(256) },
    })),
    ...each((entry) => ({ case: "refundOrder", value: { refundId: id("b", entry, 64), amount: eur(1_000_000n), reason: text(256) } })),
  ];
  const events: OrderEvent[] = [];
  let state = order.initial();
  for (const command of commands) {
    const context = { aggregateId: ORDER_ID, commandId: "command", occurredAt: new Date(MS_OF_LAST_YEAR) };
    const decision = order.decide(state, create(OrderCommandSchema, { command }), context);
    if (isRejected(decision)) throw new Error(`${command.case}: ${decision.message}`);
    for (const facts of decision) {
      const occurredAt = timestampFromMs(MS_OF_LAST_YEAR);
      const metadata = create(EventMetadataSchema, {
        aggregateId: ORDER_ID,
        version: events.length + 1,
        occurredAt,
        recordedAt: occurredAt,
      });
      const happened = order.happen(state, facts, metadata);
      state = happened.state;
      events.push(happened.event);
    }
  }
  return { events, state };
}
