/** What must not compile. tsc is the checker: it complains about an @ts-expect-error that expects nothing. */

import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { aggregate, type DecisionContext, nothing } from "../../cqrs/aggregate.ts";
import { OrderCommandSchema } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { event, reject } from "./decision.ts";
import { evolve } from "./evolve.ts";
import { order } from "./order.ts";
import { type Command, placeOrder } from "./testing/commands.ts";

const schemas = { state: OrderStateSchema, command: OrderCommandSchema, event: OrderEventSchema };
const context: DecisionContext = { aggregateId: "order", commandId: "command", occurredAt: new Date(0) };
const acceptAll = () => nothing;
const decide = {
  createOrder: acceptAll,
  addLine: acceptAll,
  changeLineQuantity: acceptAll,
  removeLine: acceptAll,
  setShippingAddress: acceptAll,
  placeOrder: acceptAll,
  recordPayment: acceptAll,
  shipOrder: acceptAll,
  deliverOrder: acceptAll,
  cancelOrder: acceptAll,
  returnItems: acceptAll,
  refundOrder: acceptAll,
} satisfies Record<Command["case"], () => typeof nothing>;

it("an aggregate that knows every command and event compiles", () => {
  const complete = aggregate(schemas, { decide, evolve });
  expect(complete.decide(complete.initial(), create(OrderCommandSchema, { command: placeOrder() }), context)).toBe(nothing);
});

it("a forgotten command does not compile, and is no command when it comes", () => {
  const { placeOrder: _, ...forgetful } = decide;
  // @ts-expect-error placeOrder is missing
  const incomplete = aggregate(schemas, { decide: forgetful, evolve });
  const command = create(OrderCommandSchema, { command: placeOrder() });
  expect(() => incomplete.decide(incomplete.initial(), command, context)).toThrow(TypeError);
});

it("a forgotten event does not compile, and is no event when it comes", () => {
  const { orderPlaced: _, ...forgetful } = evolve;
  // @ts-expect-error orderPlaced is missing
  const incomplete = aggregate(schemas, { decide, evolve: forgetful });
  const placed = create(OrderEventSchema, { event: { case: "orderPlaced", value: {} } });
  expect(() => incomplete.evolve(incomplete.initial(), placed)).toThrow(TypeError);
});

it("a misspelt command, event or reason does not compile", () => {
  // @ts-expect-error there is no placeOrdr
  expect(aggregate(schemas, { decide: { ...decide, placeOrdr: acceptAll }, evolve })).toBeDefined();
  // @ts-expect-error there is no orderPlacd
  expect(() => event("orderPlacd", {})).toThrow(TypeError);
  // @ts-expect-error an order's placing has no shipment
  expect(event("orderPlaced", { shipmentId: "parcel" })).toHaveLength(1);
  // @ts-expect-error the contract has no such reason
  expect(reject("ORDER_EMTPY", "").reason).toBe("ORDER_EMTPY");
});

it("a decider of events that the order does not have does not compile", () => {
  const strange = () => [{ case: "invoiceSent", value: {} }] as const;
  // @ts-expect-error an order has no invoiceSent
  expect(aggregate(schemas, { decide: { ...decide, placeOrder: strange }, evolve })).toBeDefined();
});

it("a command without facts is none that the order knows", () => {
  expect(() => order.decide(order.initial(), create(OrderCommandSchema), context)).toThrow(TypeError);
});
