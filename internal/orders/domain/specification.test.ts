/** That given/when/then fails where it must: every test of the rules rests on it. */

import { describe, expect, it } from "vitest";
import { nothing } from "../../cqrs/aggregate.ts";
import { SpecificationError } from "../../cqrs/testing/given.ts";
import { event } from "./decision.ts";
import { addLine, changeLineQuantity, createOrder, eur, given, line, placeOrder, recordPayment, rejected } from "./testing/commands.ts";

const created = event("orderCreated", { currencyCode: "EUR", lines: [line({ lineId: "1" })], shippingAddress: { country: "UK" } });
const placed = event("orderPlaced", {
  total: eur(100n),
  quantity: 1n,
  lines: [line({ lineId: "1" })],
  shippingAddress: { country: "UK" },
});

describe("a specification holds", () => {
  it("for the events of an accepted command", () => given(created).when(placeOrder()).expect(placed));
  it("for a command that changes nothing", () => given(created, placed).when(placeOrder()).expect(nothing));
  it("for a rejection and those of its facts that are named", () =>
    given(created)
      .when(recordPayment())
      .expect(rejected("ORDER_NOT_PLACED", { status: "DRAFT" })));
  it("for a history that goes on", () =>
    given(created)
      .when(addLine(line({ lineId: "2" })))
      .when(changeLineQuantity("2", 1))
      .expect(nothing));
});

describe("a specification fails", () => {
  const draft = given(created).when(placeOrder());
  const refused = given(created).when(recordPayment());

  it.each<[string, () => void]>([
    ["if there are fewer events", () => draft.expect(placed, placed)],
    ["if there are more events", () => draft.expect(nothing)],
    ["if it is another event", () => draft.expect(event("orderCancelled", {}))],
    ["if the event has other facts", () => draft.expect(event("orderPlaced", { total: eur(101n) }))],
    ["if an event was to be a rejection", () => draft.expect(rejected("ORDER_EMPTY"))],
    ["if a rejection was to be an event", () => refused.expect(placed)],
    ["if a rejection was to be nothing", () => refused.expect(nothing)],
    ["if the reason is another", () => refused.expect(rejected("ORDER_EMPTY"))],
    ["if a fact of the rejection is another", () => refused.expect(rejected("ORDER_NOT_PLACED", { status: "PAID" }))],
    ["if the history goes on after a rejection", () => void refused.when(placeOrder())],
  ])("%s", (_, check) => expect(check).toThrow(SpecificationError));

  it("with a message that shows what was expected and what happened", () => {
    expect(() => given().when(createOrder()).expect(rejected("ORDER_EMPTY"))).toThrow(
      /^createOrder led to another decision\n\nexpected:\nrejected \{\n {2}"reason": "ORDER_EMPTY"\n\}\n\nactual:\norderCreated \{\n {2}"customerId": "ada"/,
    );
  });
});
