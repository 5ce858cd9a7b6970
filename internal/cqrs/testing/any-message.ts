/** Messages for tests: any that there can be. */

import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { file_google_protobuf_wrappers, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.ts";
import { file_headwater_cqrs_v1_command } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { file_headwater_cqrs_v1_event } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { file_headwater_cqrs_v1_state } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { file_headwater_cqrs_v1_token } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { file_headwater_orders_v1_order_command_service } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { file_headwater_orders_v1_order_event } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { file_headwater_orders_v1_order } from "../../gen/headwater/orders/v1/order_pb.ts";
import { file_headwater_orders_v1_order_query_service } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { file_headwater_orders_v1_order_state } from "../../gen/headwater/orders/v1/order_state_pb.ts";

/** All types of messages that are encoded and decoded. */
export const messageTypes = [
  file_headwater_cqrs_v1_command,
  file_headwater_cqrs_v1_event,
  file_headwater_cqrs_v1_state,
  file_headwater_cqrs_v1_token,
  file_headwater_orders_v1_order,
  file_headwater_orders_v1_order_command_service,
  file_headwater_orders_v1_order_event,
  file_headwater_orders_v1_order_query_service,
  file_headwater_orders_v1_order_state,
  file_google_rpc_status,
  file_google_rpc_error_details,
  file_google_protobuf_wrappers,
].flatMap(({ messages }) => messages.map((schema): [DescMessage] => [schema]));

/** Any message of a type: its fields with a value or without, each member of its oneofs. */
export function anyMessage(schema: DescMessage, depth = 0): fc.Arbitrary<MessageShape<DescMessage>> {
  const isDeep = depth > 4;
  if (schema.typeName === "google.protobuf.Timestamp") return fc.integer().map((ms) => timestampFromMs(ms));
  const singles = schema.fields.filter(({ oneof, message }) => oneof === undefined && !(isDeep && message));
  const fields = fc.record(Object.fromEntries(singles.map((field) => [field.localName, anyValue(field, depth)])), { requiredKeys: [] });
  const members = schema.oneofs.map(({ localName, fields: options }) =>
    fc
      .oneof(
        fc.constant({ case: undefined }),
        ...options.map((field) => fc.record({ case: fc.constant(field.localName), value: anyValue(field, depth) })),
      )
      .map((member) => [localName, member] as const),
  );
  return fc.tuple(fields, fc.tuple(...members)).map(([values, oneofs]) => create(schema, { ...values, ...Object.fromEntries(oneofs) }));
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const single = field.message
    ? anyMessage(field.message, depth + 1)
    : field.enum
      ? fc.integer({ min: -1, max: 20 })
      : anyScalar(field.scalar);
  if (field.fieldKind === "list") return fc.array(single, { maxLength: 3 });
  if (field.fieldKind !== "map") return single;
  const key = field.mapKey === ScalarType.STRING ? anyText : anyScalar(field.mapKey).map(String);
  return fc.dictionary(key, single, { maxKeys: 3, noNullPrototype: true });
}

const anyText = fc.oneof(fc.string(), fc.string({ unit: "grapheme", maxLength: 200 }));

function anyScalar(scalar: ScalarType): fc.Arbitrary<unknown> {
  switch (scalar) {
    case ScalarType.STRING:
      return anyText;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 300 });
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fc.float();
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return fc.integer();
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.nat();
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger().map(BigInt));
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  }
}
