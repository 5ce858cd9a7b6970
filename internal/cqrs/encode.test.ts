import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { file_google_protobuf_wrappers, StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CommandOutcomeSchema, CommandReplySchema } from "../gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema } from "../gen/headwater/cqrs/v1/state_pb.ts";
import { OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";
import { AddressSchema, MoneySchema, OrderSchema } from "../gen/headwater/orders/v1/order_pb.ts";
import { encode, keep } from "./encode.ts";
import { anyMessage, messageTypes } from "./testing/any-message.ts";

describe.each(messageTypes)("%s", (schema) => {
  it("has the bytes that protobuf-es gives it", () => {
    fc.assert(
      fc.property(anyMessage(schema), (message) => {
        expect(encode(schema, message)).toEqual(toBinary(schema, message));
      }),
      { numRuns: 50 },
    );
  });
});

describe("a message", () => {
  it("may end with messages that were encoded and kept before", () => {
    const whole: DescMessage = AggregateSnapshotSchema;
    const part: DescMessage = CommandOutcomeSchema;
    const { outcomes: field } = AggregateSnapshotSchema.field;
    fc.assert(
      fc.property(anyMessage(whole), fc.array(anyMessage(part)), (snapshot, outcomes) => {
        const messages = outcomes.map((outcome) => keep(encode(part, outcome)));
        const expected = toBinary(whole, Object.assign(create(whole, snapshot), { outcomes }));
        expect(encode(whole, Object.assign(create(whole, snapshot), { outcomes: [] }), { field, messages })).toEqual(expected);
      }),
    );
  });

  it.each([126, 127, 128, 16_383, 16_384, 70_000])(
    "may have %d bytes of text, ASCII or not, in itself and in a message within it",
    (length) => {
      for (const text of ["x".repeat(length), `${"x".repeat(length - 2)}ü`, `${"x".repeat(length - 3)}鍵`, "🔑".repeat(length)]) {
        const order = create(OrderSchema, { orderId: text, shippingAddress: { recipient: text, addressLines: [text, text], city: "x" } });
        expect(Buffer.from(encode(OrderSchema, order)).equals(toBinary(OrderSchema, order))).toBe(true);
      }
    },
  );

  it("has a half of a surrogate pair as protobuf-es has it", () => {
    const address = create(AddressSchema, { recipient: "a\ud83d", city: "\udd11" });
    expect(encode(AddressSchema, address)).toEqual(toBinary(AddressSchema, address));
  });

  it.each([0n, 1n, 2n ** 28n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -1n, -(2n ** 63n)])(
    "may have the integer %d",
    (minorUnits) => {
      const money = create(MoneySchema, { currencyCode: "EUR", minorUnits });
      expect(encode(MoneySchema, money)).toEqual(toBinary(MoneySchema, money));
    },
  );

  it("keeps the fields that this version does not know, wherever they are", () => {
    const unknown = new BinaryWriter().tag(999, WireType.LengthDelimited).string("from the future").finish();
    const metadata = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(unknown).finish();
    for (const bytes of [unknown, metadata]) {
      expect(encode(OrderEventSchema, fromBinary(OrderEventSchema, bytes))).toEqual(bytes);
    }
  });

  it("that cannot be encoded is refused as protobuf-es refuses it", () => {
    for (const minorUnits of [2n ** 63n, "many", 1.5, null]) {
      const money = Object.assign(create(MoneySchema), { minorUnits });
      expect(() => encode(MoneySchema, money as never)).toThrow(errorOf(() => toBinary(MoneySchema, money as never)));
    }
    expect(() => encode(MoneySchema, create(OrderSchema) as never)).toThrow("with message headwater.orders.v1.Order");
  });

  it.each([0, -0, 1.5, Number.NaN])("may have the fraction %d", (value) => {
    for (const schema of file_google_protobuf_wrappers.messages.slice(0, 2)) {
      const message = create(schema, { value });
      expect(encode(schema, message)).toEqual(toBinary(schema, message));
    }
  });

  it("may be of a kind that our messages are not", () => {
    const struct = create(StructSchema, { fields: { pi: { kind: { case: "numberValue", value: 3.14 } } } });
    expect(encode(StructSchema, struct)).toEqual(toBinary(StructSchema, struct));
  });

  it("stays what it was while others are encoded after it", () => {
    const replies = Array.from({ length: 2_000 }, (_, index) =>
      create(CommandReplySchema, { requestId: `request ${index}`, partition: index }),
    );
    const encoded = replies.map((reply) => encode(CommandReplySchema, reply));
    expect(encoded.map((bytes) => fromBinary(CommandReplySchema, bytes))).toEqual(replies);
  });
});

function errorOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it was not refused");
}
