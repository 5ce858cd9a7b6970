import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type DecisionContext, isRejected } from "../../cqrs/aggregate.ts";
import { EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { type OrderCommand, OrderCommandSchema, RejectionReason } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { type OrderState, OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { order } from "./order.ts";
import { statusName } from "./status.ts";
import { course, decodableCommand } from "./testing/arbitraries.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
console.info(`order-properties: SEED=${seed}`);
const options = { seed, numRuns: 500 };

const commands = course.map((facts) => facts.map((command) => create(OrderCommandSchema, { command })));
const mixed = fc.tuple(commands, fc.array(decodableCommand, { maxLength: 10 })).map(([sensible, others]) => [...sensible, ...others]);

it("money and items never outgrow what they come from, in any status", () => {
  const reached = new Set<string>();
  fc.assert(
    fc.property(mixed, (all) => {
      for (const { before, after } of runs(all)) {
        expectSound(after);
        reached.add(statusName(before)).add(statusName(after));
      }
    }),
    options,
  );
  expect([...reached].toSorted()).toEqual(Object.keys(OrderStatus).toSorted());
});

it("a command repeated at once causes no event, also where nobody chose an id and an operator repeats it", () =>
  fc.assert(
    fc.property(mixed, (all) => {
      for (const { before, command, context, after } of runs(all)) {
        const retry = { ...context, commandId: `${context.commandId}/retry-1` };
        for (const again of [context, retry].map((each) => order.decide(after, command, each)))
          expect(isRejected(again) || again.length === 0).toBe(true);
        expect(order.decide(before, command, retry)).toEqual(order.decide(before, command, context));
      }
    }),
    options,
  ));

it("a payment, shipment, return or refund repeated at any later time causes no event", () =>
  fc.assert(
    fc.property(commands, (all) => {
      const accepted = runs(all).filter(({ command, events }) => events.length > 0 && withId.has(command.command.case));
      const { after } = runs(all).at(-1) ?? { after: order.initial() };
      for (const { command, context } of accepted) expect(order.decide(after, command, context)).toEqual([]);
    }),
    options,
  ));

it("the events alone lead to the same state, also after they were stored", () =>
  fc.assert(
    fc.property(mixed, (all) => {
      const steps = runs(all);
      const stored = steps.flatMap(({ events }) => events).map((event) => fromBinary(OrderEventSchema, toBinary(OrderEventSchema, event)));
      const folded = stored.reduce((state, event) => order.evolve(state, event), order.initial());
      const last = steps.at(-1)?.after ?? order.initial();
      expect(equals(OrderStateSchema, folded, last)).toBe(true);
      expect(equals(OrderStateSchema, fromBinary(OrderStateSchema, toBinary(OrderStateSchema, last)), last)).toBe(true);
    }),
    options,
  ));

it("deciding and evolving give the same again and change nothing that they were given", () =>
  fc.assert(
    fc.property(mixed, (all) => {
      for (const { before, command, context, events, after } of runs(all)) {
        const [state, asked] = [deepFreeze(structuredClone(before)), deepFreeze(structuredClone(command))];
        expect(order.decide(state, asked, context)).toEqual(order.decide(before, command, context));
        expect(events.reduce((next, event) => deepFreeze(order.evolve(next, deepFreeze(structuredClone(event)))), state)).toEqual(after);
      }
    }),
    { ...options, numRuns: 100 },
  ));

it("any command that can be decoded is decided, with a reason of the contract if not with events", () =>
  fc.assert(
    fc.property(commands, decodableCommand, fc.string(), (all, command, commandId) => {
      const { after } = runs(all).at(-1) ?? { after: order.initial() };
      for (const state of [order.initial(), after]) {
        const decision = order.decide(state, command, { ...contextOf(0), commandId });
        const reasons = isRejected(decision) ? [decision.reason] : [];
        expect(Object.keys(RejectionReason)).toEqual(expect.arrayContaining(reasons));
      }
    }),
    { ...options, numRuns: 3000 },
  ));

const withId: ReadonlySet<string | undefined> = new Set(["recordPayment", "shipOrder", "returnItems", "refundOrder"]);

interface Step {
  readonly before: OrderState;
  readonly command: OrderCommand;
  readonly context: DecisionContext;
  readonly events: readonly OrderEvent[];
  readonly after: OrderState;
}

/** Puts the commands to an order, one after the other. */
function runs(all: readonly OrderCommand[]): readonly Step[] {
  let state = order.initial();
  return all.map((command, index) => {
    const before = state;
    const context = contextOf(index);
    const decision = order.decide(before, command, context);
    const events: OrderEvent[] = [];
    for (const facts of isRejected(decision) ? [] : decision) {
      const happened = order.happen(state, facts, create(EventMetadataSchema, { version: index }));
      events.push(happened.event);
      state = happened.state;
    }
    return { before, command, context, events, after: state };
  });
}

function contextOf(index: number): DecisionContext {
  return { aggregateId: "order", commandId: `command-${index}`, occurredAt: new Date(0) };
}

function expectSound(state: OrderState): void {
  const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n);
  expectOrdered(0n, state.refundedMinorUnits, state.paidMinorUnits, state.totalMinorUnits);
  expectOrdered(0n, state.returnedMinorUnits, state.totalMinorUnits, 10n ** 15n);
  expect(sum(Object.values(state.payments))).toBe(state.paidMinorUnits);
  expect(sum(Object.values(state.refunds))).toBe(state.refundedMinorUnits);
  expect(sum(state.lines.map((line) => BigInt(line.quantity) * line.unitPriceMinorUnits))).toBe(state.totalMinorUnits);
  expect(new Set(state.lines.map(({ lineId }) => lineId)).size).toBe(state.lines.length);
  for (const { quantity, shipped, delivered, returned } of state.lines) expectOrdered(0, returned, delivered, shipped, quantity, 1_000_000);
}

function expectOrdered(...values: readonly (number | bigint)[]): void {
  expect(
    values.every((value, index) => index === 0 || (values[index - 1] ?? 0) <= value),
    values.join(" ≤ "),
  ).toBe(true);
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
