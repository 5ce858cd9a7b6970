/** Converts messages to the plain fields of a document and back, so that whoever opens the document store can read what is there. */

import { create, type DescEnum, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { isWrapperDesc, type Timestamp, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { DocumentValue, Fields } from "./documents.ts";
import { timestampToMs } from "./time.ts";

/**
 * How a message is stored: camelCase names, 64-bit integers as numbers, timestamps as dates (to the millisecond), enum values by name without
 * the enum's prefix, bytes as base64. Fields without a value are left out; scalars, lists and maps always have one. The member of a oneof
 * that is set is a field of its own.
 */
export interface DocumentCodec<Desc extends DescMessage> {
  /** @throws {RangeError} a number that a document cannot hold: beyond ±(2^53 − 1), or not finite */
  encode(message: MessageShape<Desc>): Fields;
  /**
   * Dates may be ISO 8601 strings. Fields that the message does not have are ignored.
   *
   * @throws {TypeError} a field's value does not fit the message
   */
  decode(fields: Fields): MessageShape<Desc>;
}

/** The codec of a message type. It is made once per type: take it where it is needed. */
export function documentCodec<Desc extends DescMessage>(schema: Desc): DocumentCodec<Desc> {
  return messageCodec(schema);
}

/** Messages, seen as what they are to a codec compiled from their descriptor. */
type Values = Record<string, unknown>;

interface ValueCodec {
  encode(value: unknown): DocumentValue;
  decode(value: DocumentValue): unknown;
}

/** Copies one field from a message to a document, and back. */
interface FieldCodec {
  encode(message: Values, fields: Record<string, DocumentValue>): void;
  decode(fields: Fields, message: Values): void;
}

const codecs = new WeakMap<DescMessage, DocumentCodec<DescMessage>>();

function messageCodec(schema: DescMessage): DocumentCodec<DescMessage> {
  const known = codecs.get(schema);
  if (known !== undefined) return known;
  const fieldCodecs: FieldCodec[] = [];
  const codec: DocumentCodec<DescMessage> = {
    encode(message) {
      const fields: Record<string, DocumentValue> = {};
      for (const field of fieldCodecs) field.encode(message, fields);
      return fields;
    },
    decode(fields) {
      const message = create(schema);
      for (const field of fieldCodecs) field.decode(fields, message);
      return message;
    },
  };
  // Before its fields, because a message can contain itself.
  codecs.set(schema, codec);
  fieldCodecs.push(...schema.fields.map(fieldCodec));
  return codec;
}

function fieldCodec(field: DescField): FieldCodec {
  const codec = fieldValueCodec(field);
  return field.oneof === undefined ? plainFieldCodec(field.localName, codec) : memberCodec(field.localName, field.oneof.localName, codec);
}

function plainFieldCodec(name: string, codec: ValueCodec): FieldCodec {
  return {
    encode(message, fields) {
      const value = message[name];
      if (value !== undefined) fields[name] = codec.encode(value);
    },
    decode(fields, message) {
      const value = fields[name];
      if (isPresent(value)) message[name] = codec.decode(value);
    },
  };
}

function memberCodec(name: string, oneofName: string, codec: ValueCodec): FieldCodec {
  return {
    encode(message, fields) {
      const oneof = message[oneofName] as { readonly case: string | undefined; readonly value?: unknown };
      if (oneof.case === name) fields[name] = codec.encode(oneof.value);
    },
    decode(fields, message) {
      const value = fields[name];
      if (isPresent(value)) message[oneofName] = { case: name, value: codec.decode(value) };
    },
  };
}

function isPresent(value: DocumentValue | undefined): value is NonNullable<DocumentValue> {
  return value !== undefined && value !== null;
}

function fieldValueCodec(field: DescField): ValueCodec {
  switch (field.fieldKind) {
    case "scalar":
      return scalarCodec(field.scalar, field.longAsString);
    case "enum":
      return enumCodec(field.enum);
    case "message":
      return nestedCodec(field.message);
    case "list":
      return listCodec(elementCodec(field, field.listKind));
    case "map":
      return mapCodec(elementCodec(field, field.mapKind));
  }
}

function elementCodec(field: DescField & { fieldKind: "list" | "map" }, kind: "scalar" | "enum" | "message"): ValueCodec {
  const { scalar, enum: enumeration, message } = field;
  if (kind === "message" && message !== undefined) return nestedCodec(message);
  if (kind === "enum" && enumeration !== undefined) return enumCodec(enumeration);
  return scalarCodec(scalar as ScalarType, field.fieldKind === "list" && field.listKind === "scalar" && field.longAsString);
}

function listCodec(element: ValueCodec): ValueCodec {
  return {
    encode: (value) => (value as readonly unknown[]).map(element.encode),
    decode: (value) => {
      if (!Array.isArray(value)) throw mismatch("a list", value);
      return value.map(element.decode);
    },
  };
}

function mapCodec(element: ValueCodec): ValueCodec {
  return {
    encode: (value) => mapValues(value as Values, element.encode),
    decode: (value) => mapValues(objectOf(value), element.decode),
  };
}

/** With `fromEntries`, which defines fields: by assignment, a key "__proto__" would be lost. */
function mapValues<From, To>(object: Readonly<Record<string, From>>, convert: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, convert(value)]));
}

function nestedCodec(schema: DescMessage): ValueCodec {
  if (schema.typeName === TimestampSchema.typeName) return timestampCodec;
  // These are no messages in the generated code, but plain values.
  if (isWrapperDesc(schema) || schema.typeName === "google.protobuf.Struct") throw new TypeError(`${schema.typeName} in a document`);
  const codec = messageCodec(schema);
  return {
    encode: (value) => codec.encode(value as MessageShape<DescMessage>),
    decode: (value) => codec.decode(objectOf(value)),
  };
}

const timestampCodec: ValueCodec = {
  encode: (value) => new Date(timestampToMs(value as Timestamp)),
  decode(value) {
    const ms = value instanceof Date ? value.getTime() : typeof value === "string" ? Date.parse(value) : Number.NaN;
    if (Number.isNaN(ms)) throw mismatch("a date", value);
    return timestampFromMs(ms);
  },
};

function enumCodec(schema: DescEnum): ValueCodec {
  const names = new Map<unknown, string>(schema.values.map((value) => [value.number, value.localName]));
  const numbers = new Map<unknown, number>(schema.values.map((value) => [value.localName, value.number]));
  return {
    // A value that this version does not know stays a number.
    encode: (value) => names.get(value) ?? (value as number),
    decode(value) {
      const number = numbers.get(value) ?? value;
      if (typeof number !== "number") throw mismatch(`a value of ${schema.typeName}`, value);
      return number;
    },
  };
}

function scalarCodec(scalar: ScalarType, longAsString: boolean): ValueCodec {
  switch (scalar) {
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return longAsString ? { encode: longCodec.encode, decode: (value) => String(longCodec.decode(value)) } : longCodec;
    case ScalarType.BYTES:
      return bytesCodec;
    case ScalarType.STRING:
      return plainCodec("string");
    case ScalarType.BOOL:
      return plainCodec("boolean");
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return numberCodec;
  }
}

const longCodec: ValueCodec = {
  encode(value) {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new RangeError(`${String(value)} is too large an integer for a document`);
    return number;
  },
  decode(value) {
    if (!Number.isSafeInteger(value)) throw mismatch("an integer", value);
    return BigInt(value as number);
  },
};

const numberCodec: ValueCodec = {
  encode(value) {
    if (!Number.isFinite(value)) throw new RangeError(`${String(value)} is no number for a document`);
    return value as number;
  },
  decode: plainCodec("number").decode,
};

const bytesCodec: ValueCodec = {
  encode: (value) => base64Encode(value as Uint8Array),
  decode(value) {
    if (typeof value !== "string") throw mismatch("a base64 string", value);
    return base64Decode(value);
  },
};

function plainCodec(type: "string" | "boolean" | "number"): ValueCodec {
  return {
    encode: (value) => value as DocumentValue,
    decode(value) {
      if (typeof value !== type) throw mismatch(`a ${type}`, value);
      return value;
    },
  };
}

function objectOf(value: DocumentValue): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) throw mismatch("an object", value);
  return value as Fields;
}

/** It tells no value: errors are logged and kept, and a document may hold what is personal. */
function mismatch(expected: string, value: DocumentValue): TypeError {
  const found = Array.isArray(value) ? "a list" : value instanceof Date ? "a date" : `a value of type ${typeof value}`;
  return new TypeError(`a document has ${found} where there should be ${expected}`);
}
