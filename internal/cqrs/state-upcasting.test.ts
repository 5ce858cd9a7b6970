import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import { type OrderState, OrderStateSchema } from "../gen/headwater/orders/v1/order_state_pb.ts";
import { createStateReader, NewerStateError } from "./state-upcasting.ts";
import { UpcastError } from "./upcasting.ts";

/** Customers got louder with version 2, nothing changed with version 3, and every order got a line with version 4. */
const reader = createStateReader({
  state: OrderStateSchema,
  schemaVersion: 4,
  upcasters: {
    1: ({ customerId }) => ({ customerId: `${customerId}!` }),
    3(state) {
      if (state.currencyCode === "BAD") throw new RangeError("no such currency");
      return { lines: [...state.lines, { lineId: "1", sku: "tea" }] };
    },
  },
});

function read(version: number, state: MessageInitShape<typeof OrderStateSchema>): OrderState {
  return reader.read(toBinary(OrderStateSchema, create(OrderStateSchema, state)), version);
}

const line = { lineId: "1", sku: "tea" };

it.each([
  [0, "ada!", [line]],
  [1, "ada!", [line]],
  [2, "ada", [line]],
  [3, "ada", [line]],
  [4, "ada", []],
])("a state of version %i is brought from each version to the next", (version, customerId, lines) => {
  const expected = create(OrderStateSchema, { customerId, lines, payments: { p: 1n } });
  expect(read(version, { customerId: "ada", payments: { p: 1n } })).toEqual(expected);
});

it("a state of a newer version is not read", () => {
  expect(() => read(5, {})).toThrow(new NewerStateError("it has schema version 5, and this code knows none beyond 4"));
});

it.each([[[100]], [[4, 100]], [[12, 2, 100]], [[12, 2, 1, 100]]])(
  "a state with a field that nobody knows is one of a newer version, also within: %j",
  (path) => {
    let bytes: Uint8Array = new BinaryWriter()
      .tag(path.at(-1) ?? 0, WireType.Varint)
      .uint32(1)
      .finish();
    for (const number of path.slice(0, -1).toReversed())
      bytes = new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
    expect(() => reader.read(bytes, 4)).toThrow(NewerStateError);
  },
);

it("an upcaster that fails says from which version to which", () => {
  expect(() => read(1, { currencyCode: "BAD" })).toThrow(
    new UpcastError("a state could not be brought from schema version 3 to 4: no such currency"),
  );
});

it.each([0, 2, 3])("an upcaster that could never be called is refused: version %i", (version) => {
  const schema = { state: OrderStateSchema, schemaVersion: 2, upcasters: { [version]: () => ({}) } };
  expect(() => createStateReader(schema)).toThrow(`has an upcaster from schema version ${version}, but 2 is written`);
});
