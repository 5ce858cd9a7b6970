import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type OrderEvent, OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";
import { asWritten, createEventReader, NewerEventError, UnknownEventError, UpcastError, type Upcasters } from "./upcasting.ts";

type Facts = MessageInitShape<typeof OrderEventSchema>["event"];

/** Shipments had no carrier in version 1, a cancellation was another kind of event until version 2, customers got louder with version 4. */
const upcasters: Upcasters<typeof OrderEventSchema> = {
  orderShipped: {
    1: (facts) => ({ event: { case: "orderShipped", value: { ...facts, carrier: "post" } } }),
    3: (facts, { customerId }) => ({ customerId: `${customerId}!`, event: { case: "orderShipped", value: facts } }),
  },
  lineRemoved: { 2: ({ lineId }) => ({ event: { case: "orderCancelled", value: { reason: lineId } } }) },
  orderCancelled: { 3: (facts) => ({ metadata: {}, event: { case: "orderCancelled", value: { ...facts, quantity: 1n } } }) },
  orderRefunded: {
    2: () => {
      throw new RangeError("no such currency");
    },
  },
};
const reader = createEventReader({ event: OrderEventSchema, schemaVersion: 4, upcasters });

function written(schemaVersion: number, event: NonNullable<Facts>): OrderEvent {
  const metadata = { eventId: "o-1/7", aggregateId: "o-1", version: 7, sequence: 70n, schemaVersion };
  return create(OrderEventSchema, { metadata, customerId: "ada", event });
}

function read(event: OrderEvent): OrderEvent {
  return reader.read(toBinary(OrderEventSchema, event));
}

it.each([
  [1, "post", "ada!"],
  [2, "DHL", "ada!"],
  [3, "DHL", "ada!"],
  [4, "DHL", "ada"],
])("an event of version %i is brought from each version to the next", (version, carrier, customerId) => {
  const event = written(version, { case: "orderShipped", value: { carrier: "DHL", shipmentId: "s" } });
  expect(read(event)).toEqual({ ...written(4, { case: "orderShipped", value: { carrier, shipmentId: "s" } }), customerId });
});

it("an event that does not say its version is of the first", () => {
  expect(read(written(0, { case: "orderShipped", value: {} })).event.value).toMatchObject({ carrier: "post" });
});

it("a kind that never changed means what it meant", () => {
  const event = written(1, { case: "lineAdded", value: { line: { lineId: "1" } } });
  expect(read(event)).toEqual({ ...event, metadata: { ...event.metadata, schemaVersion: 4 } });
});

it("an event may become one of another kind, and goes on as such", () => {
  const event = read(written(1, { case: "lineRemoved", value: { lineId: "1" } }));
  expect(event).toEqual(written(4, { case: "orderCancelled", value: { reason: "1", quantity: 1n } }));
});

it("an upcaster cannot move an event: its id, version and sequence stay", () => {
  const event = read(written(3, { case: "orderCancelled", value: {} }));
  expect(event.metadata).toMatchObject({ eventId: "o-1/7", version: 7, sequence: 70n, schemaVersion: 4 });
});

it("what was upcast once is not upcast again, and what was written is not lost", () => {
  const event = written(1, { case: "orderShipped", value: { carrier: "" } });
  const today = reader.upcast(event);
  expect(reader.upcast(today)).toBe(today);
  expect(asWritten(today)).toBe(event);
  expect(event).toEqual(fromBinary(OrderEventSchema, toBinary(OrderEventSchema, event)));
  const current = written(4, { case: "orderShipped", value: {} });
  expect(asWritten(reader.upcast(current))).toBe(current);
});

it("an upcaster that fails tells the event, the versions and why", () => {
  const event = written(1, { case: "orderRefunded", value: {} });
  const message = "the event o-1/7 (orderRefunded) could not be brought from schema version 2 to 3: no such currency";
  expect(() => read(event)).toThrow(new UpcastError(message));
  expect(() => read(event)).toThrow(expect.objectContaining({ cause: new RangeError("no such currency") }));
});

it("an event of a newer version is refused, and so is one that says nothing", () => {
  const newer = written(5, { case: "orderShipped", value: {} });
  const unknown = written(4, { case: undefined });
  expect(() => read(newer)).toThrow(
    new NewerEventError(
      "the event o-1/7 (orderShipped) has schema version 5, and this code knows none beyond 4: bring the newer code here first",
    ),
  );
  expect(() => read(unknown)).toThrow(
    new UnknownEventError("the event o-1/7 (of an unknown kind) says nothing that schema version 4 knows"),
  );
});

it.each([0, 4, 1.5])("an upcaster from version %d, which nothing older than today's can have, is a mistake", (version) => {
  const wrong = { lineAdded: { [version]: () => ({}) } };
  expect(() => createEventReader({ event: OrderEventSchema, schemaVersion: 4, upcasters: wrong })).toThrow(
    `lineAdded has an upcaster from schema version ${version}, but 4 is written`,
  );
});
