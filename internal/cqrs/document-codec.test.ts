import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RejectionSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";
import { MoneySchema, type Order, OrderSchema, OrderStatus } from "../gen/headwater/orders/v1/order_pb.ts";
import { OrderFilterSchema } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { OrderStateSchema } from "../gen/headwater/orders/v1/order_state_pb.ts";
import { documentCodec } from "./document-codec.ts";
import type { Fields } from "./documents.ts";
import { timestampToMs } from "./time.ts";

const createdAt = new Date("2026-11-24T10:11:12.345Z");

function someOrder(fields: MessageInitShape<typeof OrderSchema> = {}): Order {
  return create(OrderSchema, { orderId: "o1", status: OrderStatus.PARTIALLY_SHIPPED, createdAt: timestampFromDate(createdAt), ...fields });
}

describe("a document", () => {
  it("is readable", () => {
    const order = someOrder({ quantity: 3n, total: { currencyCode: "EUR", minorUnits: 1999n }, lines: [{ lineId: "1", sku: "shoe" }] });
    expect(documentCodec(OrderSchema).encode(order)).toMatchObject({
      orderId: "o1",
      version: 0,
      status: "PARTIALLY_SHIPPED",
      customerId: "",
      quantity: 3,
      total: { currencyCode: "EUR", minorUnits: 1999 },
      lines: [{ lineId: "1", sku: "shoe", quantity: 0 }],
      payments: [],
      createdAt,
    });
  });

  it("leaves out messages that are absent and optional fields without a value", () => {
    const fields = documentCodec(OrderSchema).encode(someOrder());
    expect(fields).not.toHaveProperty("total");
    expect(fields).not.toHaveProperty("placedAt");
    const filter = documentCodec(OrderFilterSchema).encode(create(OrderFilterSchema, { totalToMinorUnits: 0n }));
    expect(filter).toMatchObject({ totalToMinorUnits: 0 });
    expect(filter).not.toHaveProperty("totalFromMinorUnits");
  });

  it("has the member of a oneof under the member's name", () => {
    const event = create(OrderEventSchema, { event: { case: "lineRemoved", value: { lineId: "7" } } });
    const fields = documentCodec(OrderEventSchema).encode(event);
    expect(fields).toMatchObject({ customerId: "", lineRemoved: { lineId: "7" } });
    expect(fields).not.toHaveProperty("lineAdded");
    expect(fields).not.toHaveProperty("event");
  });

  it("has a map as an object, whatever its keys", () => {
    const metadata = Object.fromEntries([
      ["current_version", "3"],
      ["__proto__", "kept"],
    ]);
    const rejection = create(RejectionSchema, { reason: "ORDER_EMPTY", metadata });
    const fields = documentCodec(RejectionSchema).encode(rejection);
    expect(Object.entries(fields["metadata"] as Fields)).toEqual(Object.entries(metadata));
    expect(fields["reason"]).toBe("ORDER_EMPTY");
  });

  it("has only integers that are exact", () => {
    const codec = documentCodec(MoneySchema);
    const largest = BigInt(Number.MAX_SAFE_INTEGER);
    expect(codec.encode(create(MoneySchema, { minorUnits: largest }))).toMatchObject({ minorUnits: Number.MAX_SAFE_INTEGER });
    expect(codec.encode(create(MoneySchema, { minorUnits: -largest }))).toMatchObject({ minorUnits: Number.MIN_SAFE_INTEGER });
    expect(() => codec.encode(create(MoneySchema, { minorUnits: largest + 1n }))).toThrow(RangeError);
    expect(() => codec.encode(create(MoneySchema, { minorUnits: -largest - 1n }))).toThrow("-9007199254740992");
  });

  it("has moments to the millisecond", () => {
    const at = create(TimestampSchema, { seconds: -1n, nanos: 999_999_999 });
    const fields = documentCodec(OrderSchema).encode(someOrder({ placedAt: at }));
    expect(Math.abs((fields["placedAt"] as Date).getTime())).toBeLessThanOrEqual(1);
  });
});

describe("a message", () => {
  it("is read from dates and from their text", () => {
    const codec = documentCodec(OrderSchema);
    const read = [createdAt, createdAt.toISOString()].map((date) => codec.decode({ createdAt: date }).createdAt);
    expect(read.map((timestamp) => timestamp && new Date(timestampToMs(timestamp)))).toEqual([createdAt, createdAt]);
  });

  it("is read from a document with fields that it does not have, with none, or with null", () => {
    const codec = documentCodec(OrderSchema);
    expect(codec.decode({ orderId: "o1", words: ["red"], total: null })).toEqual(create(OrderSchema, { orderId: "o1" }));
    expect(codec.decode({})).toEqual(create(OrderSchema));
  });

  it.each<[title: string, fields: Fields]>([
    ["text for a number", { version: "1" }],
    ["a number for text", { orderId: 1 }],
    ["a fraction for an integer", { quantity: 1.5 }],
    ["an unknown status", { status: "LOST" }],
    ["no date", { createdAt: "yesterday" }],
    ["a number for a date", { createdAt: 1 }],
    ["text for a message", { total: "1 EUR" }],
    ["a list for a message", { total: [] }],
    ["a message for a list", { lines: {} }],
  ])("is not read from %s", (_title, fields) => {
    expect(() => documentCodec(OrderSchema).decode(fields)).toThrow(TypeError);
  });

  it("keeps an enum value that this version does not know", () => {
    const order = someOrder({ status: 99 as OrderStatus });
    expect(documentCodec(OrderSchema).encode(order)).toMatchObject({ status: 99 });
    expect(documentCodec(OrderSchema).decode({ status: 99 }).status).toBe(99);
  });
});

it("a message type has one codec", () => {
  expect(documentCodec(OrderSchema)).toBe(documentCodec(OrderSchema));
});

describe.each<[DescMessage]>([[OrderSchema], [OrderEventSchema], [OrderStateSchema], [RejectionSchema], [OrderFilterSchema]])(
  "%s",
  (schema) => {
    const codec = documentCodec(schema);

    it("comes back from its document as it was", () => {
      fc.assert(
        fc.property(anyMessage(schema), (message) => {
          expect(codec.decode(codec.encode(message))).toEqual(message);
        }),
      );
    });

    it("comes back from its document as JSON, with the same bytes", () => {
      fc.assert(
        fc.property(anyMessage(schema), (message) => {
          const decoded = codec.decode(JSON.parse(JSON.stringify(codec.encode(message))) as Fields);
          expect(toBinary(schema, decoded)).toEqual(toBinary(schema, message));
          expect(fromBinary(schema, toBinary(schema, decoded))).toEqual(decoded);
        }),
      );
    });
  },
);

/** Any message of a type that a document can hold exactly: every member of a oneof, every field with a value or without. */
function anyMessage(schema: DescMessage): fc.Arbitrary<MessageShape<DescMessage>> {
  if (schema.typeName === TimestampSchema.typeName)
    return fc.date({ noInvalidDate: true, min: new Date(0) }).map((date) => timestampFromMs(date.getTime()));
  const plain = schema.fields.filter((field) => field.oneof === undefined);
  const fields = fc.record(Object.fromEntries(plain.map((field) => [field.localName, anyValue(field)])), { requiredKeys: [] });
  const oneofs = schema.oneofs.map((oneof) =>
    fc.tuple(
      fc.constant(oneof.localName),
      fc.oneof(
        fc.constant(undefined),
        ...oneof.fields.map((field) => fc.record({ case: fc.constant(field.localName), value: anyValue(field) })),
      ),
    ),
  );
  return fc.tuple(fields, fc.tuple(...oneofs)).map(([values, members]) => create(schema, { ...values, ...Object.fromEntries(members) }));
}

function anyValue(field: DescField): fc.Arbitrary<unknown> {
  const { scalar, enum: enumeration, message } = field;
  const single = message
    ? anyMessage(message)
    : enumeration
      ? fc.constantFrom(...enumeration.values.map(({ number }) => number))
      : anyScalar(scalar);
  if (field.fieldKind === "list") return fc.array(single, { maxLength: 3 });
  if (field.fieldKind === "map") return fc.dictionary(fc.string(), single, { maxKeys: 3, noNullPrototype: true });
  return single;
}

function anyScalar(scalar: ScalarType): fc.Arbitrary<unknown> {
  switch (scalar) {
    case ScalarType.STRING:
      return fc.string({ unit: "grapheme" });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 20 });
    case ScalarType.DOUBLE:
      return fc.double({ noDefaultInfinity: true, noNaN: true });
    case ScalarType.FLOAT:
      return fc.float({ noDefaultInfinity: true, noNaN: true });
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.nat();
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.maxSafeInteger().map(BigInt);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.maxSafeNat().map(BigInt);
  }
}
