import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";
import { AddressSchema, MoneySchema, OrderSchema } from "../gen/headwater/orders/v1/order_pb.ts";
import { decode } from "./decode.ts";
import { anyMessage, messageTypes } from "./testing/any-message.ts";

describe.each(messageTypes)("%s", (schema) => {
  it("is decoded as protobuf-es decodes it", () => {
    fc.assert(
      fc.property(anyMessage(schema), (message) => expectSame(schema, toBinary(schema, message))),
      { numRuns: 50 },
    );
  });

  it("is decoded or refused as protobuf-es does it, with any of its bytes changed, left out or cut off", () => {
    fc.assert(
      fc.property(anyMessage(schema), fc.nat(), fc.nat(255), (message, any, byte) => {
        const bytes = toBinary(schema, message);
        const at = any % (bytes.length + 1);
        const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at + 1)];
        expectSame(schema, Uint8Array.of(...before, byte, ...behind));
        expectSame(schema, Uint8Array.of(...before, ...behind));
        expectSame(schema, before);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a message", () => {
  it.each([62, 63, 64, 126, 127, 128, 16_383, 16_384, 70_000])("may have %d bytes of text, ASCII or not", (length) => {
    for (const text of ["x".repeat(length), `${"x".repeat(length - 2)}ü`, `${"x".repeat(length - 3)}鍵`, "🔑".repeat(length)]) {
      expectSame(
        OrderSchema,
        toBinary(OrderSchema, create(OrderSchema, { orderId: text, shippingAddress: { addressLines: [text, text] } })),
      );
    }
  });

  it("may begin with a byte order mark, which is text", () => {
    expectSame(AddressSchema, toBinary(AddressSchema, create(AddressSchema, { city: "\ufeffDublin" })));
  });

  it.each([0n, 1n, 2n ** 28n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, -1n, -(2n ** 63n)])(
    "may have the integer %d",
    (minorUnits) => expectSame(MoneySchema, toBinary(MoneySchema, create(MoneySchema, { currencyCode: "EUR", minorUnits }))),
  );

  it("may have its fields in any order, and one of them twice: of text the last counts, and messages become one", () => {
    const twice = [
      create(OrderSchema, { orderId: "1", shippingAddress: { city: "Dublin" } }),
      create(OrderSchema, { orderId: "2", shippingAddress: { country: "Ireland" } }),
    ];
    const bytes = Buffer.concat(twice.map((order) => toBinary(OrderSchema, order)));
    expectSame(OrderSchema, bytes);
    expect(decode(OrderSchema, bytes)).toMatchObject({ orderId: "2", shippingAddress: { city: "Dublin", country: "Ireland" } });
  });

  it("keeps the fields that this version does not know, wherever they are", () => {
    const unknown = new BinaryWriter().tag(999, WireType.LengthDelimited).string("from the future").finish();
    const metadata = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(unknown).finish();
    for (const bytes of [unknown, metadata]) expect(toBinary(OrderEventSchema, decode(OrderEventSchema, bytes))).toEqual(bytes);
  });

  it("may be of a kind that our messages are not", () => {
    expectSame(
      StructSchema,
      toBinary(StructSchema, create(StructSchema, { fields: { pi: { kind: { case: "numberValue", value: 3.14 } } } })),
    );
  });

  it("shares nothing with another one that can change", () => {
    decode(OrderSchema, new Uint8Array()).lines.push(...decode(OrderSchema, new Uint8Array()).lines, {} as never);
    expect(decode(OrderSchema, new Uint8Array())).toEqual(create(OrderSchema));
  });
});

function expectSame(schema: DescMessage, bytes: Uint8Array): void {
  expect(resultOf(() => decode(schema, bytes))).toEqual(resultOf(() => fromBinary(schema, bytes)));
}

function resultOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
