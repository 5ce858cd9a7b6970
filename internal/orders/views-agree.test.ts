/** The write side and the read side fold the same events by code of their own: here they are held against each other. */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, it } from "vitest";
import { isRejected } from "../cqrs/aggregate.ts";
import type { Member, UnionInitOf } from "../cqrs/oneof.ts";
import { EventMetadataSchema } from "../gen/headwater/cqrs/v1/event_pb.ts";
import { OrderCommandSchema } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import type { OrderEvent } from "../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../gen/headwater/orders/v1/order_pb.ts";
import type { OrderState } from "../gen/headwater/orders/v1/order_state_pb.ts";
import { order as aggregate } from "./domain/order.ts";
import { countrySales } from "./projection/country-sales.ts";
import { customerSummary } from "./projection/customer-summary.ts";
import { dailySales } from "./projection/daily-sales.ts";
import { orders } from "./projection/order.ts";
import { orderCounts, orderCountsId } from "./projection/order-counts.ts";
import { productSales } from "./projection/product-sales.ts";
import { documentsAfter, eur } from "./projection/testing/events.ts";

type Command = Member<UnionInitOf<typeof OrderCommandSchema>>;

const lineId = fc.constantFrom("1", "2");
const entryId = fc.constantFrom("a", "b", "c", "d");
const quantity = fc.integer({ min: 1, max: 3 });
// Few prices and small amounts, so that payments often fit. Zero makes gifts and orders that cost nothing.
const sku = fc.constantFrom("tea", "cup");
const line = fc.record({ lineId: fc.constant(""), sku, quantity, unitPrice: fc.constantFrom(0n, 0n, 1n, 2n).map(eur) });
const amount = fc.bigInt({ min: 1n, max: 6n }).map(eur);
const items = fc.uniqueArray(fc.record({ lineId, quantity }), { selector: (item) => item.lineId, maxLength: 2 });

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 1, arbitrary: commandOf("addLine", { line }) },
  { weight: 1, arbitrary: commandOf("changeLineQuantity", { lineId, quantity }) },
  { weight: 1, arbitrary: commandOf("removeLine", { lineId }) },
  { weight: 3, arbitrary: commandOf("placeOrder", {}) },
  { weight: 6, arbitrary: commandOf("recordPayment", { paymentId: entryId, amount }) },
  { weight: 6, arbitrary: commandOf("shipOrder", { shipmentId: entryId, lines: items }) },
  { weight: 6, arbitrary: commandOf("deliverOrder", { shipmentId: fc.oneof(fc.constant(""), entryId) }) },
  { weight: 1, arbitrary: commandOf("cancelOrder", {}) },
  { weight: 6, arbitrary: commandOf("returnItems", { returnId: entryId, lines: items }) },
  { weight: 6, arbitrary: commandOf("refundOrder", { refundId: entryId, amount }) },
);

const creation = commandOf("createOrder", {
  customerId: fc.constant("ann"),
  currencyCode: fc.constant("EUR"),
  lines: fc.array(line, { minLength: 1, maxLength: 2 }),
  shippingAddress: fc.constant({ country: "Portugal" }),
});

it("the view of an order says what the order's own state says, after every event", () => {
  const seen = new Set<OrderStatus>();
  fc.assert(
    fc.property(creation, fc.array(anyCommand, { minLength: 10, maxLength: 40 }), (first, rest) => {
      const steps = run([first, ...rest]);
      for (const [index, { state }] of steps.entries()) {
        seen.add(state.status);
        expect(shown(steps.slice(0, index + 1).map(({ event }) => event))).toEqual(expected(state));
      }
    }),
    { numRuns: 1000 },
  );
  const everyStatus = Object.values(OrderStatus).filter((status) => status !== OrderStatus.UNSPECIFIED);
  expect([...seen].sort((a, b) => a - b)).toEqual(everyStatus);
});

it("the sums of sales are those of the order's own state", () => {
  fc.assert(
    fc.property(creation, fc.array(anyCommand, { maxLength: 40 }), (first, rest) => {
      const steps = run([first, ...rest]);
      const state = steps.at(-1)?.state;
      const events = steps.map(({ event }) => event);
      const wasPlaced = events.some(({ event }) => event.case === "orderPlaced");
      const sums = {
        orderCount: wasPlaced ? 1n : 0n,
        amountMinorUnits: wasPlaced ? state?.totalMinorUnits : 0n,
        cancelledCount: wasPlaced && events.some(({ event }) => event.case === "orderCancelled") ? 1n : 0n,
        paidMinorUnits: state?.paidMinorUnits,
        returnedMinorUnits: state?.returnedMinorUnits,
        refundedMinorUnits: state?.refundedMinorUnits,
      };
      const totals = wasPlaced ? [sums] : [];
      expect([...documentsAfter(countrySales, events).values()].map((country) => country.totals)).toMatchObject(totals);
      expect(documentsAfter(customerSummary, events).get("ann")?.totals).toMatchObject(totals);
      expect([...documentsAfter(dailySales, events).values()].map((day) => day.totals)).toMatchObject(totals);
    }),
  );
});

it("the sums of products are those of days", () => {
  const seen = new Set<string | undefined>();
  fc.assert(
    fc.property(creation, fc.array(anyCommand, { minLength: 10, maxLength: 40 }), (first, rest) => {
      const events = run([first, ...rest]).map(({ event }) => event);
      for (const { event } of events) seen.add(event.case);
      const ofProducts = [...documentsAfter(productSales, events).values()].map(({ totals }) => totals);
      const [ofDay] = [...documentsAfter(dailySales, events).values()].map(({ totals }) => totals);
      for (const sum of itemSums) expect(ofProducts.reduce((all, totals) => all + (totals?.[sum] ?? 0n), 0n)).toBe(ofDay?.[sum] ?? 0n);
    }),
    { numRuns: 1000 },
  );
  expect([...seen]).toEqual(expect.arrayContaining(["orderPlaced", "orderCancelled", "itemsReturned"]));
});

it("the counts of orders have the order in the status that its view shows", () => {
  fc.assert(
    fc.property(creation, fc.array(anyCommand, { minLength: 10, maxLength: 40 }), (first, rest) => {
      const events = run([first, ...rest]).map(({ event }) => event);
      const counts = documentsAfter(orderCounts, events).get(orderCountsId);
      const counted = counts?.statuses.filter(({ orderCount }) => orderCount !== 0n);
      expect(counted).toMatchObject([{ status: documentsAfter(orders, events).get("order-1")?.status, orderCount: 1n }]);
    }),
    { numRuns: 1000 },
  );
});

it("all sums of an order are found in one country, wherever it goes after it was placed", () => {
  const address = commandOf("setShippingAddress", { shippingAddress: fc.constantFrom({ country: "France" }, { country: "Spain" }) });
  const commands = fc.array(fc.oneof(anyCommand, address), { minLength: 10, maxLength: 40 });
  fc.assert(
    fc.property(creation, commands, (first, rest) => {
      const steps = run([first, ...rest]);
      const events = steps.map(({ event }) => event);
      const placed = steps.find(({ event }) => event.event.case === "orderPlaced");
      const countries = placed === undefined ? [] : [`${placed.state.shippingAddress?.country}/EUR`];
      expect([...documentsAfter(countrySales, events).keys()]).toEqual(countries);
    }),
    { numRuns: 1000 },
  );
});

/** What products share with days; payments belong to orders, and an order may have several products. */
const itemSums = [
  "quantity",
  "amountMinorUnits",
  "cancelledQuantity",
  "cancelledMinorUnits",
  "returnedQuantity",
  "returnedMinorUnits",
] as const;

interface Step {
  readonly event: OrderEvent;
  readonly state: OrderState;
}

/** What the domain makes of the commands: every event, and the state after it. */
function run(commands: readonly Command[]): Step[] {
  const steps: Step[] = [];
  let state = aggregate.initial();
  for (const [index, command] of commands.entries()) {
    const context = { aggregateId: "order-1", commandId: `command-${index}`, occurredAt: new Date(0) };
    const decision = aggregate.decide(state, create(OrderCommandSchema, { command }), context);
    if (isRejected(decision)) continue;
    for (const facts of decision) {
      const metadata = create(EventMetadataSchema, {
        aggregateId: "order-1",
        version: steps.length + 1,
        occurredAt: timestampFromMs(index),
      });
      const happened = aggregate.happen(state, facts, metadata);
      state = happened.state;
      steps.push(happened);
    }
  }
  return steps;
}

/** What the view and the state both know. */
function expected(state: OrderState) {
  return {
    status: state.status,
    customerId: state.customerId,
    total: state.totalMinorUnits,
    paid: state.paidMinorUnits,
    returned: state.returnedMinorUnits,
    refunded: state.refundedMinorUnits,
    quantity: state.lines.reduce((sum, item) => sum + BigInt(item.quantity), 0n),
    lines: state.lines.map((item) => [item.lineId, item.quantity, item.shipped, item.delivered, item.returned]),
    payments: Object.keys(state.payments).sort(),
    shipments: Object.entries(state.shipments)
      .map(([id, { delivered }]) => `${id} ${delivered}`)
      .toSorted(),
    returns: Object.keys(state.returns).sort(),
    refunds: Object.keys(state.refunds).sort(),
  };
}

function shown(events: readonly OrderEvent[]) {
  const order = documentsAfter(orders, events).get("order-1");
  return {
    status: order?.status,
    customerId: order?.customerId,
    total: order?.total?.minorUnits,
    paid: order?.paid?.minorUnits,
    returned: order?.returned?.minorUnits,
    refunded: order?.refunded?.minorUnits,
    quantity: order?.quantity,
    lines: order?.lines.map((item) => [item.lineId, item.quantity, item.shippedQuantity, item.deliveredQuantity, item.returnedQuantity]),
    payments: order?.payments.map(({ paymentId }) => paymentId).sort(),
    shipments: order?.shipments.map(({ shipmentId, deliveredAt }) => `${shipmentId} ${deliveredAt !== undefined}`).toSorted(),
    returns: order?.returns.map(({ returnId }) => returnId).sort(),
    refunds: order?.refunds.map(({ refundId }) => refundId).sort(),
  };
}

function commandOf(name: Command["case"], fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Command> {
  return fc.record(fields).map((value) => ({ case: name, value }) as Command);
}
