import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { nothing } from "../../cqrs/aggregate.ts";
import { EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { event } from "./decision.ts";
import { MAX_ENTRIES, MAX_LINES } from "./limits.ts";
import { order } from "./order.ts";
import {
  addLine,
  address,
  type Command,
  cancelOrder,
  changeLineQuantity,
  createOrder,
  cups,
  deliverOrder,
  eur,
  given,
  line,
  otherAddress,
  placeOrder,
  recordPayment,
  refundOrder,
  rejected,
  removeLine,
  returnItems,
  setShippingAddress,
  shipOrder,
  teapots,
  usd,
} from "./testing/commands.ts";
import { after, histories } from "./testing/histories.ts";

const orderCreated = (lines = [teapots, cups]) =>
  event("orderCreated", { customerId: "ada", currencyCode: "EUR", lines, shippingAddress: address });
const lineIdsOf = (...commands: readonly Command[]) => after(...commands).state.lines.map(({ lineId }) => lineId);
const statusOf = (...commands: readonly Command[]) => after(...commands).state.status;
const times = (count: number, command: (n: number) => Command) => Array.from({ length: count }, (_, n) => command(n));

describe("a draft", () => {
  it("begins with its lines, each with an id", () =>
    given()
      .when(createOrder({ lines: [line(), line()] }))
      .expect(orderCreated([line({ lineId: "1" }), line({ lineId: "2" })])));

  it("numbers lines around the ids that the caller chose", () => {
    expect(lineIdsOf(createOrder({ lines: [line(), line({ lineId: "1" }), line({ lineId: "x" }), line()] }))).toEqual(["2", "1", "x", "3"]);
    expect(lineIdsOf(createOrder({ lines: [line({ lineId: String(2 ** 53) }), line()] }))).toEqual([String(2 ** 53), "1"]);
  });

  it("has each line id once", () => {
    given()
      .when(createOrder({ lines: [line({ lineId: "a" }), line({ lineId: "a" })] }))
      .expect(rejected("LINE_ALREADY_EXISTS", { line_id: "a" }));
    given(orderCreated())
      .when(addLine(line({ lineId: "1" })))
      .expect(rejected("LINE_ALREADY_EXISTS"));
  });

  it("takes the same line twice as a repetition", () => {
    given(orderCreated()).when(addLine(teapots)).expect(nothing);
    given(orderCreated())
      .when(addLine({ ...teapots, quantity: 3 }))
      .expect(rejected("LINE_ALREADY_EXISTS"));
  });

  it("has one currency", () => {
    const dollars = line({ unitPrice: usd(1n) });
    given()
      .when(createOrder({ lines: [dollars] }))
      .expect(rejected("CURRENCY_MISMATCH", { currency_code: "EUR" }));
    given(orderCreated()).when(addLine(dollars)).expect(rejected("CURRENCY_MISMATCH"));
  });

  it("has a bounded number of lines", () => {
    const many = Array.from({ length: MAX_LINES }, () => line());
    given()
      .when(createOrder({ lines: [...many, line()] }))
      .expect(rejected("TOO_MANY_LINES"));
    after(createOrder({ lines: many }))
      .when(addLine())
      .expect(rejected("TOO_MANY_LINES"));
  });

  it("has a bounded total", () => {
    const dear = line({ lineId: "dear", quantity: 1_000_000, unitPrice: eur(1_000_000_000n) });
    given()
      .when(createOrder({ lines: [dear, line()] }))
      .expect(rejected("AMOUNT_TOO_LARGE"));
    after(createOrder({ lines: [dear] }))
      .when(addLine())
      .expect(rejected("AMOUNT_TOO_LARGE"));
    after(createOrder({ lines: [dear] }))
      .when(addLine(line({ lineId: "free", unitPrice: eur(0n) })))
      .expect(event("lineAdded", { line: line({ lineId: "free", unitPrice: eur(0n) }) }));
    after(createOrder({ lines: [{ ...dear, quantity: 1 }, line()] }))
      .when(changeLineQuantity("dear", 1_000_000))
      .expect(rejected("AMOUNT_TOO_LARGE"));
  });

  it("changes a quantity, but only to another one", () => {
    given(orderCreated())
      .when(changeLineQuantity("1", 5))
      .expect(event("lineQuantityChanged", { lineId: "1", quantity: 5, previousQuantity: 2 }));
    given(orderCreated()).when(changeLineQuantity("1", 2)).expect(nothing);
    given(orderCreated()).when(changeLineQuantity("1", 0)).expect(rejected("INVALID_COMMAND"));
    given(orderCreated())
      .when(changeLineQuantity("3", 5))
      .expect(rejected("LINE_NOT_FOUND", { line_id: "3" }));
  });

  it("keeps its total right", () => {
    expect(after(createOrder(), addLine(), changeLineQuantity("1", 3), removeLine("2")).state.totalMinorUnits).toBe(3100n);
  });

  it("cannot be placed empty", () =>
    given(orderCreated([]))
      .when(placeOrder())
      .expect(rejected("ORDER_EMPTY", { status: "DRAFT" })));

  it("cannot be placed without an address", () =>
    after({ case: "createOrder", value: { currencyCode: "EUR", lines: [line()] } })
      .when(placeOrder())
      .expect(rejected("ADDRESS_MISSING")));

  it("says what was ordered when it is placed", () =>
    given(orderCreated())
      .when(placeOrder())
      .expect(event("orderPlaced", { total: eur(2500n), quantity: 3n, lines: [teapots, cups], shippingAddress: address })));

  it("of gifts only is paid as soon as it is placed", () =>
    expect(statusOf(createOrder({ lines: [line({ unitPrice: eur(0n) })] }), placeOrder())).toBe(OrderStatus.PAID));
});

describe("malformed commands", () => {
  it.each<[string, Command]>([
    ["no currency", createOrder({ currencyCode: "" })],
    ["an unknown form of currency", createOrder({ currencyCode: "euro" })],
    ["an address without a country", createOrder({ shippingAddress: { city: "London" } })],
    ["a line without a price", createOrder({ lines: [{ sku: "cup", quantity: 1 }] })],
    ["a line with a negative price", createOrder({ lines: [line({ unitPrice: eur(-1n) })] })],
    ["a line without items", createOrder({ lines: [line({ quantity: 0 })] })],
    ["a line with too many items", createOrder({ lines: [line({ quantity: 1_000_001 })] })],
    ["a line without an article", createOrder({ lines: [line({ sku: "" })] })],
    ["a line id that is no id", createOrder({ lines: [line({ lineId: "__proto__" })] })],
  ])("cannot begin an order with %s", (_, command) => given().when(command).expect(rejected("INVALID_COMMAND")));

  it.each<[string, Command]>([
    ["a line that is missing", { case: "addLine", value: {} }],
    ["an address that is missing", { case: "setShippingAddress", value: {} }],
    ["an address without a country", setShippingAddress({ city: "London" })],
    ["a payment without an amount", { case: "recordPayment", value: { paymentId: "payment" } }],
    ["a payment of nothing", recordPayment({ amount: eur(0n) })],
    ["a negative payment", recordPayment({ amount: eur(-1n) })],
    ["a payment id that is no id", recordPayment({ paymentId: "__proto__" })],
    ["a shipment id that is no id", shipOrder({ shipmentId: "__proto__" })],
    ["a shipment of less than nothing", shipOrder({ lines: [{ lineId: "1", quantity: -1 }] })],
    ["a return without items", returnItems({ lines: [] })],
    ["a return of less than nothing", returnItems({ lines: [{ lineId: "1", quantity: -1 }] })],
    ["a return id that is no id", returnItems({ returnId: "__proto__" })],
    ["a refund of nothing", refundOrder({ amount: eur(0n) })],
    ["a refund id that is no id", refundOrder({ refundId: "__proto__" })],
  ])("are refused: %s", (_, command) =>
    after(...histories.delivered)
      .when(command)
      .expect(rejected("INVALID_COMMAND")),
  );
});

describe("payments", () => {
  const placed = histories.placed;

  it("may come in parts, and the last one pays the order", () => {
    after(...placed)
      .when(recordPayment({ amount: eur(1000n) }))
      .expect(event("paymentRecorded", { paymentId: "payment", amount: eur(1000n), method: "card", balance: eur(1500n) }));
    const part = [...placed, recordPayment({ paymentId: "a", amount: eur(1000n) })];
    expect(statusOf(...part)).toBe(OrderStatus.PLACED);
    expect(statusOf(...part, recordPayment({ paymentId: "b", amount: eur(1500n) }))).toBe(OrderStatus.PAID);
  });

  it("are not more than the balance", () =>
    after(...placed, recordPayment({ paymentId: "a", amount: eur(1000n) }))
      .when(recordPayment({ amount: eur(1501n) }))
      .expect(rejected("PAYMENT_EXCEEDS_BALANCE", { balance_minor_units: "1500" })));

  it("are in the order's currency", () =>
    after(...placed)
      .when(recordPayment({ amount: usd(1n) }))
      .expect(rejected("CURRENCY_MISMATCH")));

  it("are recorded once, whatever became of the order since", () => {
    after(...histories.cancelled)
      .when(recordPayment())
      .expect(nothing);
    after(...histories.refundedAfterReturn)
      .when(recordPayment())
      .expect(nothing);
    after(...histories.paid)
      .when(recordPayment({ amount: eur(1n) }))
      .expect(rejected("PAYMENT_ALREADY_RECORDED", { recorded_minor_units: "2500" }));
    after(...histories.paid)
      .when(recordPayment({ amount: usd(2500n) }))
      .expect(rejected("PAYMENT_ALREADY_RECORDED"));
  });

  it("are limited in number", () => {
    const many = times(MAX_ENTRIES, (n) => recordPayment({ paymentId: `p${n}`, amount: eur(1n) }));
    after(...placed, ...many)
      .when(recordPayment({ paymentId: "one more", amount: eur(1n) }))
      .expect(rejected("INVALID_COMMAND"));
    after(...placed, ...many)
      .when(recordPayment({ paymentId: "one-more", amount: eur(1n) }))
      .expect(rejected("TOO_MANY_ENTRIES"));
  });
});

describe("refunds", () => {
  it("of returned items are at most their value", () => {
    after(...histories.partlyReturned)
      .when(refundOrder({ amount: eur(1001n) }))
      .expect(rejected("REFUND_EXCEEDS_REFUNDABLE", { refundable_minor_units: "1000" }));
    after(...histories.partlyReturned)
      .when(refundOrder())
      .expect(event("orderRefunded", { refundId: "refund", amount: eur(1000n), reason: "returned" }));
    after(...histories.partlyReturned, refundOrder())
      .when(refundOrder({ refundId: "again" }))
      .expect(rejected("NOTHING_TO_REFUND"));
  });

  it("of a cancelled order are what was paid, also in part", () => {
    const past = [...histories.placed, recordPayment({ amount: eur(700n) }), cancelOrder(), refundOrder({ amount: eur(300n) })];
    expect(statusOf(...past)).toBe(OrderStatus.CANCELLED);
    after(...past)
      .when(refundOrder({ refundId: "rest", amount: eur(400n) }))
      .expect(event("orderRefunded", { refundId: "rest", amount: eur(400n), reason: "returned", complete: true }));
  });

  it("are recorded once", () => {
    after(...histories.partlyReturned, refundOrder())
      .when(refundOrder())
      .expect(nothing);
    after(...histories.partlyReturned, refundOrder())
      .when(refundOrder({ amount: eur(1n) }))
      .expect(rejected("REFUND_ALREADY_RECORDED", { recorded_minor_units: "1000" }));
  });

  it("are in the order's currency", () =>
    after(...histories.returned)
      .when(refundOrder({ amount: usd(1n) }))
      .expect(rejected("CURRENCY_MISMATCH")));

  it("are limited in number", () =>
    after(...histories.returned, ...times(MAX_ENTRIES, (n) => refundOrder({ refundId: `r${n}`, amount: eur(1n) })))
      .when(refundOrder({ amount: eur(1n) }))
      .expect(rejected("TOO_MANY_ENTRIES")));

  it("that were complete before the last gift came back make the order refunded when it does", () => {
    const lines = [line({ lineId: "1" }), line({ lineId: "gift", unitPrice: eur(0n) })];
    const delivered = [createOrder({ lines }), placeOrder(), recordPayment({ amount: eur(100n) }), shipOrder(), deliverOrder()];
    const paidBack = [...delivered, returnItems(), refundOrder({ amount: eur(100n) })];
    expect(statusOf(...paidBack)).toBe(OrderStatus.PARTIALLY_RETURNED);
    expect(statusOf(...paidBack, returnItems({ returnId: "gift", lines: [{ lineId: "gift", quantity: 1 }] }))).toBe(OrderStatus.REFUNDED);
  });
});

describe("an unpaid order", () => {
  it("of gifts that all came back is returned, since nothing is to be paid back", () => {
    const gifts = [createOrder({ lines: [line({ lineId: "1", unitPrice: eur(0n) })] }), placeOrder(), shipOrder(), deliverOrder()];
    expect(statusOf(...gifts, returnItems())).toBe(OrderStatus.RETURNED);
  });

  it("that is cancelled stays cancelled, since nothing is to be paid back", () => {
    expect(statusOf(...histories.placed, cancelOrder())).toBe(OrderStatus.CANCELLED);
    after(...histories.placed, cancelOrder())
      .when(refundOrder())
      .expect(rejected("NOTHING_TO_REFUND"));
  });

  it("says what was paid when it is cancelled", () =>
    after(...histories.placed, recordPayment({ amount: eur(700n) }))
      .when(cancelOrder())
      .expect(
        event("orderCancelled", {
          reason: "changed my mind",
          previousStatus: OrderStatus.PLACED,
          total: eur(2500n),
          quantity: 3n,
          refundable: eur(700n),
          lines: [teapots, cups],
        }),
      ));
});

it("an address that is set already may be set again, even after the order was shipped", () =>
  after(...histories.shipped)
    .when(setShippingAddress(address))
    .expect(nothing));

it.each(["constructor", "toString", "hasOwnProperty", "valueOf"])("%s is an id like any other", (id) => {
  const lines = [line({ lineId: id })];
  const { state } = after(
    createOrder({ lines }),
    placeOrder(),
    recordPayment({ paymentId: id, amount: eur(100n) }),
    shipOrder({ shipmentId: id, lines: [{ lineId: id, quantity: 1 }] }),
    deliverOrder(id),
    returnItems({ returnId: id, lines: [{ lineId: id, quantity: 1 }] }),
    refundOrder({ refundId: id, amount: eur(100n) }),
  );
  const stored = fromBinary(OrderStateSchema, toBinary(OrderStateSchema, state));
  expect(stored.status).toBe(OrderStatus.REFUNDED);
  expect([stored.payments, stored.shipments, stored.returns, stored.refunds].map((entries) => Object.keys(entries))).toEqual([
    [id],
    [id],
    [id],
    [id],
  ]);
});

it("every event names the customer, from the first one on", () => {
  const [created] = orderCreated();
  const placed = after(...histories.draft);
  expect(order.happen(order.initial(), created, create(EventMetadataSchema)).event.customerId).toBe("ada");
  expect(order.happen(placed.state, event("orderCancelled", {})[0], create(EventMetadataSchema)).event.customerId).toBe("ada");
});

it("every event says where the order stood and stands", () => {
  const [created] = orderCreated();
  const first = order.happen(order.initial(), created, create(EventMetadataSchema)).event;
  expect([first.previousStatus, first.status]).toEqual([OrderStatus.UNSPECIFIED, OrderStatus.DRAFT]);
  const paid = after(...histories.paid);
  const last = order.happen(paid.state, event("orderCancelled", {})[0], create(EventMetadataSchema)).event;
  expect([last.previousStatus, last.status]).toEqual([OrderStatus.PAID, OrderStatus.CANCELLED]);
});

it("every event from the placement on names the country that the order was placed for, wherever it goes later", () => {
  const countryIn = (...commands: readonly Command[]) =>
    order.happen(after(...commands).state, event("orderCancelled", {})[0], create(EventMetadataSchema)).event.salesCountry;
  expect(countryIn(...histories.draft)).toBe("");
  expect(countryIn(...histories.placed)).toBe(address.country);
  expect(countryIn(...histories.placed, setShippingAddress(otherAddress))).toBe(address.country);
  const [placed] = event("orderPlaced", {});
  expect(order.happen(after(...histories.draft).state, placed, create(EventMetadataSchema)).event.salesCountry).toBe(address.country);
});
