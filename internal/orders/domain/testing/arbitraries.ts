/** Random commands: plausible ones, which collide and get somewhere, and any that the wire can carry. */

import { create, type DescField, type DescMessage, fromBinary, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type OrderCommand, OrderCommandSchema } from "../../../gen/headwater/orders/v1/order_command_service_pb.ts";
import {
  addLine,
  address,
  type Command,
  cancelOrder,
  changeLineQuantity,
  createOrder,
  deliverOrder,
  eur,
  line,
  otherAddress,
  placeOrder,
  recordPayment,
  refundOrder,
  removeLine,
  returnItems,
  setShippingAddress,
  shipOrder,
  usd,
} from "./commands.ts";

const lineId = fc.constantFrom("1", "2", "3", "constructor");
const entryId = fc.constantFrom("a", "b", "c", "d", "7", "toString");
const items = fc.array(fc.record({ lineId, quantity: fc.integer({ min: 1, max: 2 }) }), { maxLength: 3 });
const amount = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(1n, 100n, 200n, 300n, 400n).map(eur) },
  { weight: 1, arbitrary: fc.constant(usd(100n)) },
);
const newLine = fc
  .record({ lineId: fc.oneof(fc.constant(""), lineId), quantity: fc.integer({ min: 1, max: 3 }), cents: fc.constantFrom(0n, 100n, 200n) })
  .map(({ cents, ...fields }) => ({ ...line(), ...fields, unitPrice: eur(cents) }));

const drafting: fc.Arbitrary<Command> = fc.oneof(
  newLine.map((added) => addLine(added)),
  fc.record({ lineId, quantity: fc.integer({ min: 1, max: 4 }) }).map(({ lineId: id, quantity }) => changeLineQuantity(id, quantity)),
  lineId.map(removeLine),
);

const fulfilment: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ shipmentId: entryId, lines: items }).map(shipOrder),
  fc.oneof(fc.constant(""), entryId).map(deliverOrder),
  fc.record({ returnId: entryId, lines: items }).map(returnItems),
  fc.record({ refundId: entryId, amount }).map(refundOrder),
);

const anything: fc.Arbitrary<Command> = fc.oneof(
  drafting,
  fc.constantFrom(placeOrder(), cancelOrder(), setShippingAddress(address), setShippingAddress(otherAddress)),
  fc.record({ paymentId: entryId, amount }).map(recordPayment),
  fulfilment,
);

/** An order's life with few ids and small numbers. Most are placed and paid; some go all the way and back. */
export const course: fc.Arbitrary<readonly Command[]> = fc
  .record({
    lines: fc.uniqueArray(newLine, { selector: ({ lineId: id }) => id || {}, minLength: 1, maxLength: 3 }),
    changes: fc.array(drafting, { maxLength: 2 }),
    deposit: fc.constantFrom(0n, 100n),
    interruptions: fc.array(anything, { maxLength: 2 }),
    fulfilment: fc.array(fc.oneof({ weight: 5, arbitrary: fulfilment }, anything), { maxLength: 30 }),
    end: fc.boolean(),
  })
  .map(({ lines, changes, deposit, interruptions, fulfilment: middle, end }) => {
    const total = lines.reduce((sum, { quantity, unitPrice }) => sum + BigInt(quantity) * unitPrice.minorUnits, 0n);
    const back = lines.flatMap(({ lineId: id, quantity }) => (id === "" ? [] : [{ lineId: id, quantity }]));
    return [
      createOrder({ lines }),
      ...changes,
      placeOrder(),
      recordPayment({ paymentId: "deposit", amount: eur(deposit) }),
      ...interruptions,
      recordPayment({ paymentId: "balance", amount: eur(total - deposit) }),
      ...middle,
      ...(end ? [shipOrder({ shipmentId: "rest" }), deliverOrder(), returnItems({ returnId: "all", lines: back })] : []),
      refundOrder({ refundId: "all", amount: eur(total) }),
    ];
  });

/** Any command that can be decoded, sensible or not. */
export const decodableCommand: fc.Arbitrary<OrderCommand> = fc
  .constantFrom(...OrderCommandSchema.fields)
  .chain((field) =>
    messageOf(messageSchema(field)).map((value) => create(OrderCommandSchema, { command: { case: field.localName, value } as Command })),
  )
  .map((command) => fromBinary(OrderCommandSchema, toBinary(OrderCommandSchema, command)));

const text = fc.oneof(
  fc.constantFrom("", "1", "a", "EUR", "__proto__", "constructor", "toString", "999999999", "9".repeat(36)),
  fc.string({ unit: "binary", maxLength: 70 }),
);
const int32 = fc.oneof(fc.constantFrom(-1, 0, 1, 2, 1_000_000, 2 ** 31 - 1, -(2 ** 31)), fc.integer());
const int64 = fc.oneof(fc.constantFrom(-1n, 0n, 1n, 100n, 10n ** 15n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));

function messageOf(schema: DescMessage): fc.Arbitrary<Message> {
  const fields = Object.fromEntries(schema.fields.map((field) => [field.localName, valueOf(field)]));
  return fc.record(fields, { requiredKeys: [] }).map((init) => create(schema, init));
}

function valueOf(field: DescField): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "message":
      return messageOf(field.message);
    case "enum":
      return fc.integer({ min: 0, max: 20 });
    case "scalar":
      return scalarOf(field.scalar);
    case "list":
      return fc.array(field.listKind === "message" ? messageOf(field.message) : scalarOf(ScalarType.STRING), { maxLength: 4 });
    case "map":
      throw new TypeError(`${field.name}: no command has a map`);
  }
}

function scalarOf(scalar: ScalarType): fc.Arbitrary<unknown> {
  if (scalar === ScalarType.STRING) return text;
  if (scalar === ScalarType.INT32) return int32;
  if (scalar === ScalarType.INT64) return int64;
  throw new TypeError(`no command has a scalar of type ${ScalarType[scalar]}`);
}

function messageSchema(field: DescField): DescMessage {
  if (field.fieldKind !== "message") throw new TypeError(`${field.name} is no message`);
  return field.message;
}
