import { create, equals, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import { orders } from "./order.ts";
import { orderHistory } from "./order-history.ts";
import { documentsAfter, eventOf, type Facts, fieldsAfter, historyOf } from "./testing/events.ts";
import { orderViewNames, orderViews } from "./views.ts";

const id = fc.constantFrom("1", "2", "3");
const money = fc.option(
  fc.record({ currencyCode: fc.constantFrom("EUR", "USD", ""), minorUnits: fc.bigInt({ min: 0n, max: 10n ** 15n }) }),
  { nil: undefined },
);
const quantity = fc.integer({ min: 0, max: 1_000_000 });
const items = fc.array(fc.record({ lineId: id, quantity }), { maxLength: 4 });
const line = fc.record({ lineId: id, sku: fc.string(), description: fc.string({ unit: "binary" }), quantity, unitPrice: money });
const facts = { quantity: fc.nat().map(BigInt), complete: fc.boolean(), reason: fc.string() };

/** Whatever could be decoded, in any order, whether the rules of an order allow it or not. */
const anyFacts: fc.Arbitrary<unknown> = fc.oneof(
  member("orderCreated", { customerId: fc.string(), currencyCode: fc.constantFrom("EUR", ""), lines: fc.array(line, { maxLength: 3 }) }),
  member("lineAdded", { line: fc.option(line, { nil: undefined }) }),
  member("lineQuantityChanged", { lineId: id, quantity, previousQuantity: quantity }),
  member("lineRemoved", { lineId: id }),
  member("shippingAddressSet", { shippingAddress: fc.option(fc.record({ country: fc.string() }), { nil: undefined }) }),
  member("orderPlaced", { total: money, quantity: facts.quantity, lines: fc.array(line, { maxLength: 3 }) }),
  member("paymentRecorded", { paymentId: id, amount: money, method: fc.string(), balance: money }),
  member("orderShipped", { shipmentId: id, lines: items, complete: facts.complete }),
  member("orderDelivered", { shipmentId: id, complete: facts.complete }),
  member("orderCancelled", {
    ...facts,
    previousStatus: fc.integer({ min: 0, max: 10 }),
    total: money,
    lines: fc.array(line, { maxLength: 3 }),
  }),
  member("itemsReturned", { ...facts, returnId: id, lines: items, amount: money, returnedLines: fc.array(line, { maxLength: 3 }) }),
  member("orderRefunded", { ...facts, refundId: id, amount: money }),
);

const anyHistory: fc.Arbitrary<OrderEvent[]> = fc.array(anyFacts, { maxLength: 30 }).map((all) => historyOf(all as Facts[]));

describe("every view", () => {
  it("has a name of its own", () => {
    expect(new Set(orderViewNames).size).toBe(orderViews.length);
  });

  it.each(orderViews.map((view) => [view.name, view] as const))("folds any events into documents that can be stored: %s", (_name, view) => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        for (const [, fields] of fieldsAfter(view, events)) expect(view.encode(view.decode(fields))).toEqual(fields);
      }),
    );
  });

  it.each(orderViews.map((view) => [view.name, view] as const))("leaves the document before an event as it was: %s", (_name, view) => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const documents = new Map<string, object>();
        for (const event of events) {
          for (const key of view.keys(event)) {
            const before = documents.get(key);
            const copy = structuredClone(before);
            documents.set(key, view.fold(before, key, event));
            expect(before).toEqual(copy);
          }
        }
      }),
    );
  });
});

describe("an order's view", () => {
  it("notes the version of the last event, whatever events there were", () => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const order = documentsAfter(orders, events).get("order-1");
        expect([order?.orderId, order?.version]).toEqual(events.length === 0 ? [undefined, undefined] : ["order-1", events.length]);
        expect(order?.updatedAt).toEqual(events.at(-1)?.metadata?.occurredAt);
      }),
    );
  });

  it("is a message that can be sent, whatever events there were", () => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const order = documentsAfter(orders, events).get("order-1") ?? create(OrderSchema);
        expect(equals(OrderSchema, fromBinary(OrderSchema, toBinary(OrderSchema, order)), order)).toBe(true);
      }),
    );
  });
});

describe("an order's history", () => {
  it("has a document per event, which is the event", () => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const documents = documentsAfter(orderHistory, events);
        expect([...documents.values()].map((event) => toJson(OrderEventSchema, event))).toEqual(
          events.map((event) => toJson(OrderEventSchema, event)),
        );
      }),
    );
  });

  it("has ids that sort like the versions", () => {
    const ids = [9, 10, 2_147_483_647].flatMap((version) => orderHistory.keys(eventOf({ case: "lineRemoved", value: {} }, { version })));
    expect(ids).toEqual(["order-1/0000000009", "order-1/0000000010", "order-1/2147483647"]);
  });
});

/** A fact of which any field may be missing. */
function member(name: Facts["case"], fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> {
  return fc.record(fields, { requiredKeys: [] }).map((value) => ({ case: name, value }));
}
