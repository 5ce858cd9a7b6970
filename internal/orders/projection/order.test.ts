import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { timestampToMs } from "../../cqrs/time.ts";
import { type Order, OrderSchema, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { orders } from "./order.ts";
import { maxSearchWords } from "./search-words.ts";
import { documentsAfter, eur, type Facts, fieldsAfter, historyOf, line } from "./testing/events.ts";

const created: Facts = {
  case: "orderCreated",
  value: { customerId: "ann", currencyCode: "EUR", lines: [line("1", 2, 500n), line("2", 1, 300n)] },
};
const address = { recipient: "Ann", country: "Portugal" };
const placed: Facts = { case: "orderPlaced", value: { total: eur(1300n), quantity: 3n, shippingAddress: address } };
const paid = payment("p1", 1300n, 0n);
const shippedAll = shipment(
  "s1",
  [
    ["1", 2],
    ["2", 1],
  ],
  true,
);
const deliveredAll = delivery("s1", true);

describe("an order's view", () => {
  it("begins as a draft with the sums of its lines", () => {
    const order = after(created);
    expect(order).toMatchObject({
      orderId: "order-1",
      version: 1,
      status: OrderStatus.DRAFT,
      customerId: "ann",
      currencyCode: "EUR",
      quantity: 3n,
    });
    expect(order.lines.map(({ lineId, amount }) => [lineId, amount?.minorUnits])).toEqual([
      ["1", 1000n],
      ["2", 300n],
    ]);
    expect([order.total, order.paid, order.refunded, order.returned]).toMatchObject([eur(1300n), eur(0n), eur(0n), eur(0n)]);
    expect(minuteOf(order.createdAt)).toBe(0);
  });

  it("gets lines, changes them and loses them", () => {
    const order = after(
      created,
      { case: "lineAdded", value: { line: line("3", 4, 10n) } },
      { case: "lineQuantityChanged", value: { lineId: "1", quantity: 5, previousQuantity: 2 } },
      { case: "lineRemoved", value: { lineId: "2" } },
    );
    expect(order.lines.map(({ lineId, quantity, amount }) => [lineId, quantity, amount?.minorUnits])).toEqual([
      ["1", 5, 2500n],
      ["3", 4, 40n],
    ]);
    expect(order).toMatchObject({ total: eur(2540n), quantity: 9n, version: 4, status: OrderStatus.DRAFT });
  });

  it("gets an address", () => {
    const order = after(created, { case: "shippingAddressSet", value: { shippingAddress: address } });
    expect(order.shippingAddress).toMatchObject(address);
  });

  it("is placed, and paid at once if it costs nothing", () => {
    expect(after(created, placed).status).toBe(OrderStatus.PLACED);
    expect(minuteOf(after(created, placed).placedAt)).toBe(1);
    expect(after(created, { case: "orderPlaced", value: { total: eur(0n) } }).status).toBe(OrderStatus.PAID);
  });

  it("is paid when nothing is due any more", () => {
    const partly = after(created, placed, payment("p1", 300n, 1000n));
    expect(partly).toMatchObject({ status: OrderStatus.PLACED, paid: eur(300n) });
    const wholly = after(created, placed, payment("p1", 300n, 1000n), payment("p2", 1000n, 0n));
    expect(wholly).toMatchObject({ status: OrderStatus.PAID, paid: eur(1300n) });
    expect(wholly.payments.map((entry) => [entry.paymentId, entry.method, minuteOf(entry.paidAt)])).toEqual([
      ["p1", "card", 2],
      ["p2", "card", 3],
    ]);
  });

  it("is shipped and delivered parcel by parcel", () => {
    const first = [created, placed, paid, shipment("s1", [["1", 1]], false)];
    expect(after(...first)).toMatchObject({ status: OrderStatus.PARTIALLY_SHIPPED });
    expect(after(...first, delivery("s1", false))).toMatchObject({ status: OrderStatus.PARTIALLY_SHIPPED });
    const second = [
      ...first,
      delivery("s1", false),
      shipment(
        "s2",
        [
          ["1", 1],
          ["2", 1],
        ],
        true,
      ),
    ];
    expect(after(...second)).toMatchObject({ status: OrderStatus.SHIPPED });
    const order = after(...second, delivery("s2", true));
    expect(order.status).toBe(OrderStatus.DELIVERED);
    expect(order.lines.map(({ shippedQuantity, deliveredQuantity }) => [shippedQuantity, deliveredQuantity])).toEqual([
      [2, 2],
      [1, 1],
    ]);
    expect(order.shipments.map((parcel) => [parcel.shipmentId, minuteOf(parcel.shippedAt), minuteOf(parcel.deliveredAt)])).toEqual([
      ["s1", 3, 4],
      ["s2", 5, 6],
    ]);
  });

  it("is returned in part, then wholly, and refunded when all that was paid is paid back", () => {
    const delivered = [created, placed, paid, shippedAll, deliveredAll];
    const partly = after(...delivered, itemsReturned("r1", [["1", 1]], 500n, false));
    expect(partly).toMatchObject({ status: OrderStatus.PARTIALLY_RETURNED, returned: eur(500n) });
    const wholly = [
      ...delivered,
      itemsReturned("r1", [["1", 1]], 500n, false),
      itemsReturned(
        "r2",
        [
          ["1", 1],
          ["2", 1],
        ],
        800n,
        true,
      ),
    ];
    expect(after(...wholly)).toMatchObject({ status: OrderStatus.RETURNED, returned: eur(1300n) });
    expect(after(...wholly).lines.map(({ returnedQuantity }) => returnedQuantity)).toEqual([2, 1]);
    expect(after(...wholly, refund("f1", 500n, false))).toMatchObject({ status: OrderStatus.RETURNED, refunded: eur(500n) });
    const refunded = after(...wholly, refund("f1", 500n, false), refund("f2", 800n, true));
    expect(refunded).toMatchObject({ status: OrderStatus.REFUNDED, refunded: eur(1300n) });
    expect(refunded.refunds.map(({ refundId, reason }) => [refundId, reason])).toEqual([
      ["f1", "sorry"],
      ["f2", "sorry"],
    ]);
  });

  it("says what is still to come before it says what came back", () => {
    const shippedInPart = [created, placed, paid, shipment("s1", [["1", 2]], false), delivery("s1", false)];
    const returned = [...shippedInPart, itemsReturned("r1", [["1", 1]], 500n, false)];
    expect(after(...returned).status).toBe(OrderStatus.PARTIALLY_SHIPPED);
    expect(after(...returned, shipment("s2", [["2", 1]], true)).status).toBe(OrderStatus.SHIPPED);
    expect(after(...returned, shipment("s2", [["2", 1]], true), delivery("s2", true)).status).toBe(OrderStatus.PARTIALLY_RETURNED);
  });

  it("is refunded by the return of the last gift if everything was paid back before", () => {
    const gift: Facts = { case: "lineAdded", value: { line: line("3", 1, 0n) } };
    const order = after(
      created,
      gift,
      placed,
      paid,
      shipment(
        "s1",
        [
          ["1", 2],
          ["2", 1],
          ["3", 1],
        ],
        true,
      ),
      deliveredAll,
      itemsReturned(
        "r1",
        [
          ["1", 2],
          ["2", 1],
        ],
        1300n,
        false,
      ),
      refund("f1", 1300n, true),
      itemsReturned("r2", [["3", 1]], 0n, true),
    );
    expect(order.status).toBe(OrderStatus.REFUNDED);
  });

  it("is cancelled, and refunded if it was paid", () => {
    const cancelled: Facts = { case: "orderCancelled", value: { reason: "too late", previousStatus: OrderStatus.PAID } };
    expect(after(created, placed, paid, cancelled)).toMatchObject({ status: OrderStatus.CANCELLED, cancellationReason: "too late" });
    expect(after(created, placed, paid, cancelled, refund("f1", 300n, false)).status).toBe(OrderStatus.CANCELLED);
    expect(after(created, placed, paid, cancelled, refund("f1", 1300n, true)).status).toBe(OrderStatus.REFUNDED);
  });

  it("leaves out what does not fit", () => {
    const order = after(
      created,
      { case: "lineAdded", value: {} },
      { case: "lineQuantityChanged", value: { lineId: "9", quantity: 7 } },
      { case: "lineRemoved", value: { lineId: "9" } },
      shipment("s1", [["9", 1]], false),
      delivery("s9", false),
      itemsReturned("r1", [["9", 1]], 100n, false),
    );
    expect(order).toMatchObject({ quantity: 3n, total: eur(1300n), version: 7, returned: eur(100n) });
    expect(order.lines).toEqual(after(created).lines);
  });

  it("counts a parcel that arrives twice once", () => {
    const order = after(created, placed, paid, shippedAll, deliveredAll, deliveredAll);
    expect(order.lines.map(({ deliveredQuantity }) => deliveredQuantity)).toEqual([2, 1]);
  });

  it("takes amounts and times that no document could hold", () => {
    const order = after({ case: "orderCreated", value: { currencyCode: "EUR", lines: [line("1", 1_000_000, 10n ** 15n)] } });
    expect(order.total?.minorUnits).toBe(BigInt(Number.MAX_SAFE_INTEGER));
    const [event] = historyOf([created]);
    const late = { ...event, metadata: { ...event?.metadata, occurredAt: { seconds: 2n ** 62n, nanos: 0 } } };
    expect(orders.encode(orders.fold(undefined, "order-1", late))).toMatchObject({ createdAt: new Date("9999-12-31T23:59:59.999Z") });
  });
});

describe("an order is found by the words", () => {
  it("of its id, customer, country, articles and descriptions, in one form and once each", () => {
    const lines = [{ ...line("1", 1, 1n, "LAMP_42-b"), description: "Große Lampe, große Freude" }, line("2", 1, 1n, "lamp")];
    const facts: Facts = { case: "orderCreated", value: { customerId: "Ann@Example", lines, shippingAddress: { country: "Costa Rica" } } };
    expect(wordsAfter(facts)).toEqual([
      "order",
      "1",
      "ann",
      "example",
      "costa",
      "rica",
      "lamp",
      "42",
      "b",
      "grosse",
      "lampe",
      "freude",
      "thing",
      "2",
    ]);
  });

  it("of which a huge order keeps the first", () => {
    const lines = Array.from({ length: 1000 }, (_, index) => line(`l${index}`, 1, 1n));
    const words = wordsAfter({ case: "orderCreated", value: { customerId: "ann", lines } });
    expect(words).toHaveLength(maxSearchWords);
    expect(words.slice(0, 3)).toEqual(["order", "1", "ann"]);
  });
});

function after(...facts: readonly Facts[]): Order {
  return documentsAfter(orders, historyOf(facts)).get("order-1") ?? create(OrderSchema);
}

function wordsAfter(facts: Facts): readonly unknown[] {
  return fieldsAfter(orders, historyOf([facts])).get("order-1")?.["words"] as readonly unknown[];
}

/** How many minutes after the first event. */
function minuteOf(timestamp: Parameters<typeof timestampToMs>[0] | undefined): number {
  return timestamp === undefined ? Number.NaN : (timestampToMs(timestamp) - Date.parse("2026-03-01T10:00:00Z")) / 60_000;
}

type Items = readonly (readonly [lineId: string, quantity: number])[];

function quantities(items: Items) {
  return items.map(([lineId, quantity]) => ({ lineId, quantity }));
}

function payment(paymentId: string, amount: bigint, balance: bigint): Facts {
  return { case: "paymentRecorded", value: { paymentId, amount: eur(amount), method: "card", balance: eur(balance) } };
}

function shipment(shipmentId: string, items: Items, complete: boolean): Facts {
  return { case: "orderShipped", value: { shipmentId, lines: quantities(items), carrier: "DHL", complete } };
}

function delivery(shipmentId: string, complete: boolean): Facts {
  return { case: "orderDelivered", value: { shipmentId, complete } };
}

function itemsReturned(returnId: string, items: Items, amount: bigint, complete: boolean): Facts {
  const quantity = items.reduce((sum, [, count]) => sum + BigInt(count), 0n);
  return { case: "itemsReturned", value: { returnId, lines: quantities(items), amount: eur(amount), quantity, complete } };
}

function refund(refundId: string, amount: bigint, complete: boolean): Facts {
  return { case: "orderRefunded", value: { refundId, amount: eur(amount), reason: "sorry", complete } };
}
