import { describe, expect, it } from "vitest";
import { nothing } from "../../cqrs/aggregate.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { event } from "./decision.ts";
import { MAX_ENTRIES, MAX_LINES, MAX_RETURN_LINES, MAX_SHIPMENT_LINES } from "./limits.ts";
import {
  type Command,
  createOrder,
  deliverOrder,
  eur,
  line,
  placeOrder,
  rejected,
  returnItems,
  shipOrder,
  teapots,
} from "./testing/commands.ts";
import { after, histories } from "./testing/histories.ts";

const statusOf = (...commands: readonly Command[]) => after(...commands).state.status;
const times = (count: number, command: (n: number) => Command) => Array.from({ length: count }, (_, n) => command(n));

describe("shipments", () => {
  const one = (lineId: string, quantity = 1) => ({ lineId, quantity });

  it("hold everything that remains unless they say otherwise", () =>
    after(...histories.partlyShipped)
      .when(shipOrder())
      .expect(event("orderShipped", { shipmentId: "parcel", lines: [one("1"), one("2")], complete: true })));

  it("add up what is said of a line twice", () =>
    after(...histories.paid)
      .when(shipOrder({ lines: [one("2"), one("1"), one("1")] }))
      .expect(event("orderShipped", { shipmentId: "parcel", lines: [one("1", 2), one("2")], complete: true })));

  it("hold no more than remains", () => {
    after(...histories.partlyShipped)
      .when(shipOrder({ lines: [one("1"), one("1")] }))
      .expect(rejected("QUANTITY_EXCEEDS_REMAINING", { line_id: "1", remaining: "1", status: "PARTIALLY_SHIPPED" }));
    after(...histories.paid)
      .when(shipOrder({ lines: [one("constructor")] }))
      .expect(rejected("LINE_NOT_FOUND", { line_id: "constructor" }));
  });

  it("are recognised by their id and content", () => {
    const first = shipOrder({ shipmentId: "first", lines: [one("1")] });
    after(...histories.partlyShipped, shipOrder())
      .when(first)
      .expect(nothing);
    after(...histories.partlyShipped)
      .when(shipOrder({ shipmentId: "first", lines: [one("2")] }))
      .expect(rejected("SHIPMENT_ALREADY_EXISTS", { shipment_id: "first" }));
  });

  it("of the rest are recognised too", () => {
    after(...histories.partlyShipped, shipOrder())
      .when(shipOrder())
      .expect(nothing);
    after(...histories.partlyShipped, shipOrder())
      .when(shipOrder({ shipmentId: "first" }))
      .expect(rejected("SHIPMENT_ALREADY_EXISTS"));
    after(...histories.partlyShipped)
      .when(shipOrder({ shipmentId: "first" }))
      .expect(rejected("SHIPMENT_ALREADY_EXISTS"));
  });

  it("arrive one by one, in the order in which they left", () => {
    const parcels = ["10", "9"].map((shipmentId, index) => shipOrder({ shipmentId, lines: [one(String(index + 1), 2 - index)] }));
    after(...histories.paid, ...parcels)
      .when(deliverOrder())
      .expect(event("orderDelivered", { shipmentId: "10" }), event("orderDelivered", { shipmentId: "9", complete: true }));
    after(...histories.paid, ...parcels, deliverOrder("10"))
      .when(deliverOrder())
      .expect(event("orderDelivered", { shipmentId: "9", complete: true }));
    after(...histories.paid, ...parcels, deliverOrder("10"))
      .when(deliverOrder("10"))
      .expect(nothing);
    after(...histories.paid, ...parcels)
      .when(deliverOrder("toString"))
      .expect(rejected("SHIPMENT_NOT_FOUND"));
  });

  it("are limited in number and in lines", () => {
    const wide = createOrder({
      lines: Array.from({ length: MAX_LINES }, (_, n) => line({ lineId: `l${n}`, quantity: 200, unitPrice: eur(0n) })),
    });
    const everyLine = Array.from({ length: MAX_LINES }, (_, n) => one(`l${n}`));
    const parcels = MAX_SHIPMENT_LINES / MAX_LINES;
    after(wide, placeOrder(), ...times(parcels, (n) => shipOrder({ shipmentId: `p${n}`, lines: everyLine })))
      .when(shipOrder({ lines: [one("l0")] }))
      .expect(rejected("TOO_MANY_ENTRIES", { max_shipment_lines: "5000" }));
    after(wide, placeOrder(), ...times(MAX_ENTRIES, (n) => shipOrder({ shipmentId: `p${n}`, lines: [one("l0")] })))
      .when(shipOrder())
      .expect(rejected("TOO_MANY_ENTRIES", { max_entries: "100" }));
  });
});

describe("returns", () => {
  it("are worth what was paid for the items", () =>
    after(...histories.delivered)
      .when(returnItems())
      .expect(
        event("itemsReturned", {
          returnId: "return",
          lines: [{ lineId: "1", quantity: 1 }],
          reason: "too large",
          amount: eur(1000n),
          quantity: 1n,
          returnedLines: [{ ...teapots, quantity: 1 }],
        }),
      ));

  it("hold no more than was delivered and has not come back", () =>
    after(...histories.partlyReturned)
      .when(returnItems({ returnId: "more", lines: [{ lineId: "1", quantity: 2 }] }))
      .expect(rejected("QUANTITY_EXCEEDS_REMAINING", { remaining: "1" })));

  it("hold nothing that is still under way", () =>
    after(...histories.partlyShipped, deliverOrder(), shipOrder())
      .when(returnItems({ lines: [{ lineId: "1", quantity: 2 }] }))
      .expect(rejected("QUANTITY_EXCEEDS_REMAINING", { remaining: "1" })));

  it("are recognised by their id and content, whatever its order", () => {
    const items = [
      { lineId: "2", quantity: 1 },
      { lineId: "1", quantity: 1 },
    ];
    const past = [...histories.delivered, returnItems({ lines: items })];
    after(...past)
      .when(returnItems({ lines: items.toReversed() }))
      .expect(nothing);
    after(...past)
      .when(returnItems({ lines: items }))
      .expect(nothing);
    after(...past)
      .when(returnItems())
      .expect(rejected("RETURN_ALREADY_EXISTS", { return_id: "return" }));
  });

  it("leave the rest of the order to be shipped", () => {
    const past = [...histories.partlyShipped, deliverOrder(), returnItems()];
    expect(statusOf(...past)).toBe(OrderStatus.PARTIALLY_SHIPPED);
    expect(statusOf(...past, shipOrder())).toBe(OrderStatus.SHIPPED);
    expect(statusOf(...past, shipOrder(), deliverOrder())).toBe(OrderStatus.PARTIALLY_RETURNED);
  });

  it("are limited in lines", () => {
    const wide = Array.from({ length: MAX_LINES }, (_, n) => line({ lineId: `l${n}`, quantity: 10, unitPrice: eur(0n) }));
    const everyLine = wide.map((_, n) => ({ lineId: `l${n}`, quantity: 1 }));
    const past = [createOrder({ lines: wide }), placeOrder(), shipOrder(), deliverOrder()];
    const full = after(...past, ...times(MAX_RETURN_LINES / MAX_LINES, (n) => returnItems({ returnId: `r${n}`, lines: everyLine })));
    full.when(returnItems({ lines: everyLine.slice(0, 1) })).expect(rejected("TOO_MANY_ENTRIES", { max_return_lines: "5000" }));
    full.when(returnItems({ returnId: "r0", lines: everyLine })).expect(nothing);
  });

  it("are limited in number", () => {
    const lines = [line({ lineId: "1", quantity: 200, unitPrice: eur(0n) })];
    const delivered = [createOrder({ lines }), placeOrder(), shipOrder(), deliverOrder()];
    after(...delivered, ...times(MAX_ENTRIES, (n) => returnItems({ returnId: `r${n}` })))
      .when(returnItems())
      .expect(rejected("TOO_MANY_ENTRIES"));
  });
});
