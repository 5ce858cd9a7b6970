/** Where a request in JSON does not fit its message: the parser tells what is wrong, and not in which of a thousand lines. */

import { type DescField, type DescMessage, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type FieldViolation, invalidArgument, type StatusError } from "../../internal/grpc/errors.ts";

/** Before a message of a stream. */
const HEAD_BYTES = 5;
const OPEN_BRACE = 0x7b;

/** What the path says already, but for the type of an enum or a message, without which a value alone says nothing. */
const PREFIX = /^cannot decode (?:(?:enum|message) (\S+)|.+?) from JSON: /;

/** The first fault, with its path as in the .proto; undefined if there is none that a path helps to find. */
export function jsonFault(schema: DescMessage, pieces: readonly Uint8Array[]): StatusError | undefined {
  const bytes = Buffer.concat(pieces);
  const text = bytes.subarray(bytes[0] === OPEN_BRACE || bytes.length <= HEAD_BYTES ? 0 : HEAD_BYTES).toString();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return invalidArgument([{ field: "", description: `is no JSON: ${(error as Error).message}`, reason: "MALFORMED_JSON" }]);
  }
  const fault = faultIn(schema, json as JsonValue, "");
  return fault === undefined ? undefined : invalidArgument([fault]);
}

function faultIn(schema: DescMessage, json: JsonValue, path: string): FieldViolation | undefined {
  if (!isObject(json)) return { field: path, description: "must be an object", reason: "INVALID_JSON_VALUE" };
  const seen = new Set<DescField>();
  for (const [name, value] of Object.entries(json)) {
    const field = schema.fields.find((each) => each.jsonName === name || each.name === name);
    const at = path === "" ? (field?.name ?? name) : `${path}.${field?.name ?? name}`;
    if (field === undefined) return { field: at, description: `is no field of ${schema.typeName}`, reason: "UNKNOWN_FIELD" };
    if (seen.has(field)) return { field: at, description: "is there twice, under both of its names", reason: "INVALID_JSON_VALUE" };
    seen.add(field);
    const fault = faultOf(field, name, value, at);
    if (fault !== undefined) return fault;
  }
  return whole(schema, json, path);
}

function faultOf(field: DescField, name: string, value: JsonValue, path: string): FieldViolation | undefined {
  const { message } = field;
  const isNested = message !== undefined && !message.typeName.startsWith("google.protobuf.");
  if (isNested && field.fieldKind === "message" && value !== null) return faultIn(message, value, path);
  if (field.fieldKind !== "list" || !Array.isArray(value)) return whole(field.parent, { [name]: value }, path);
  for (const [index, item] of value.entries()) {
    const at = `${path}[${index}]`;
    const fault = isNested ? faultIn(message, item, at) : whole(field.parent, { [name]: [item] }, at);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** What the parser says of so much of it. */
function whole(schema: DescMessage, json: JsonObject, path: string): FieldViolation | undefined {
  try {
    fromJson(schema, json);
    return undefined;
  } catch (error) {
    const description = (error as Error).message.replace(PREFIX, (_, type?: string) => (type === undefined ? "" : `is no ${type}: `));
    return { field: path, description, reason: "INVALID_JSON_VALUE" };
  }
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
