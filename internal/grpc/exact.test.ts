import { create, type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import {
  CreateOrderRequestSchema,
  type ExecuteRequest,
  ExecuteRequestSchema,
  OrderCommandService,
} from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { ListOrdersRequestSchema, OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { inexactField } from "./exact.ts";

const unknownNumber = 536_000_000;
const methods = [...OrderCommandService.methods, ...OrderQueryService.methods];

it.each(methods.map(({ name, input }) => [name, input] as const))("%s has no place where an unknown field is passed over", (_, schema) => {
  const places = placesOf(schema);
  expect(places).toContain("");
  for (const place of places) {
    const message = fromBinary(schema, encodedAt(schema, place));
    expect(inexactField(schema, message)).toMatchObject({ field: fieldOf(place), reason: "UNKNOWN_FIELD" });
  }
});

it("a message of known fields is exact", () => {
  const request: ExecuteRequest = create(ExecuteRequestSchema, {
    command: { command: { case: "createOrder", value: { lines: [{ unitPrice: { minorUnits: 1n } }], options: { occurredAt: {} } } } },
  });
  expect(inexactField(ExecuteRequestSchema, request)).toBeUndefined();
});

it.each([
  ["nanos below 0", 0n, -1],
  ["nanos of a second and more", 0n, 1_000_000_000],
  ["a time before the year 1", -62_135_596_801n, 0],
  ["a time after the year 9999", 253_402_300_800n, 0],
])("%s are no time", (_, seconds, nanos) => {
  const time = { seconds, nanos };
  const command = create(CreateOrderRequestSchema, { options: { occurredAt: time } });
  expect(inexactField(CreateOrderRequestSchema, command)).toMatchObject({ field: "options.occurred_at", reason: "INVALID_TIME" });
  const query = create(ListOrdersRequestSchema, { filter: { createdUntil: time } });
  expect(inexactField(ListOrdersRequestSchema, query)).toMatchObject({ field: "filter.created_until", reason: "INVALID_TIME" });
});

it.each([
  ["the first moment of the year 1", -62_135_596_800n, 0],
  ["the last nanosecond of the year 9999", 253_402_300_799n, 999_999_999],
])("%s is a time", (_, seconds, nanos) => {
  const query = create(ListOrdersRequestSchema, { filter: { createdUntil: { seconds, nanos } } });
  expect(inexactField(ListOrdersRequestSchema, query)).toBeUndefined();
});

/** The numbers of the fields that lead to each message in a message. */
function placesOf(schema: DescMessage): string[] {
  const inner = schema.fields.flatMap((field) =>
    field.message === undefined
      ? []
      : placesOf(field.message).map((place) => `${field.name}${field.fieldKind === "list" ? "[0]" : ""}.${place}`),
  );
  return ["", ...inner];
}

function fieldOf(place: string): string {
  return place.replace(/\.$/, "");
}

/** A message that holds nothing but an unknown field at a place. */
function encodedAt(schema: DescMessage, place: string): Uint8Array {
  const [first = "", ...rest] = place.split(".");
  if (first === "") return new BinaryWriter().tag(unknownNumber, WireType.Varint).uint32(1).finish();
  const field = schema.fields.find(({ name }) => name === first.replace("[0]", ""));
  if (field?.message === undefined) throw new Error(`${schema.typeName} has no message ${first}`);
  return new BinaryWriter()
    .tag(field.number, WireType.LengthDelimited)
    .bytes(encodedAt(field.message, rest.join(".")))
    .finish();
}
