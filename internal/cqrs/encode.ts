/**
 * Encodes messages as protobuf-es does, byte for byte, in a fraction of its time: into buffers that many messages share, so that none is
 * allocated, grown and copied for each. What is not plain is left to protobuf-es: unknown fields, negative and huge integers, and kinds of
 * fields that our messages do not have.
 */

import { type DescField, type DescMessage, type MessageShape, ScalarType, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Edition, FeatureSet_FieldPresence, isWrapperDesc } from "@bufbuild/protobuf/wkt";

/** Small, because whoever keeps one message keeps its neighbours, and whoever sends it to another thread sends them too. */
const SHARED_BYTES = 8 * 1024;

/** Writes a value at a place of the buffer and returns the place behind it; NaN if it is not plain. */
type Write<Value> = (value: Value, at: number) => number;

type Values = Readonly<Record<string, unknown>>;

/** Nothing is written behind its end; whoever would end there begins anew in a larger one. */
let buffer = new Uint8Array(0);
let used = 0;

/** Messages that are encoded already, as the values of a field. */
export interface Encoded {
  readonly field: DescField;
  readonly messages: readonly Uint8Array[];
}

/**
 * The bytes of a message, which lie in a buffer beside those of others: who keeps them for long keeps a copy. What is encoded already goes
 * behind it, so its field has a higher number than all that the message has set.
 */
export function encode<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>, encoded?: Encoded): Uint8Array {
  const write = writerOf(schema);
  const values = message as unknown as Values;
  let start = used;
  let end = writeEncoded(encoded, write(values, start));
  while (end > buffer.length) {
    buffer = new Uint8Array(Math.max(SHARED_BYTES, end - start));
    start = 0;
    end = writeEncoded(encoded, write(values, start));
  }
  if (Number.isNaN(end)) return encodeSlowly(schema, message, encoded);
  used = end;
  return buffer.subarray(start, end);
}

function writeEncoded(encoded: Encoded | undefined, start: number): number {
  if (encoded === undefined || Number.isNaN(start)) return start;
  const tag = (encoded.field.number << 3) | WireType.LengthDelimited;
  let at = start;
  for (const bytes of encoded.messages) at = writeBytes(bytes, writeVarint(tag, at));
  return at;
}

function encodeSlowly<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>, encoded: Encoded | undefined): Uint8Array {
  const bytes = toBinary(schema, message);
  if (encoded === undefined) return bytes;
  const writer = new BinaryWriter().raw(bytes);
  for (const each of encoded.messages) writer.tag(encoded.field.number, WireType.LengthDelimited).bytes(each);
  return writer.finish();
}

let kept = new Uint8Array(0);
let keptUsed = 0;

/** A copy to keep, in a buffer beside others that are kept. */
export function keep(bytes: Uint8Array): Uint8Array {
  if (keptUsed + bytes.length > kept.length) {
    kept = new Uint8Array(Math.max(SHARED_BYTES, bytes.length));
    keptUsed = 0;
  }
  kept.set(bytes, keptUsed);
  keptUsed += bytes.length;
  return kept.subarray(keptUsed - bytes.length, keptUsed);
}

const writers = new WeakMap<DescMessage, Write<Values>>();

function writerOf(schema: DescMessage): Write<Values> {
  const known = writers.get(schema);
  if (known !== undefined) return known;
  const { typeName, file } = schema;
  const fields: Write<Values>[] = [];
  const write: Write<Values> = (message, start) => {
    if (message["$typeName"] !== typeName || message["$unknown"] !== undefined) return Number.NaN;
    let at = start;
    for (const writeField of fields) at = writeField(message, at);
    return at;
  };
  // Before its fields, because a message can contain itself.
  writers.set(schema, write);
  if (file.edition === Edition.EDITION_PROTO3) fields.push(...schema.fields.toSorted((a, b) => a.number - b.number).map(fieldWriter));
  else fields.push(notPlain);
  return write;
}

function notPlain(): number {
  return Number.NaN;
}

function fieldWriter(field: DescField): Write<Values> {
  const { localName: name } = field;
  switch (field.fieldKind) {
    case "list":
      return listWriter(name, field);
    case "map":
      return mapWriter(name, field);
    case "message":
    case "scalar":
    case "enum":
      return field.oneof === undefined ? singularWriter(name, field) : memberWriter(name, field.oneof.localName, valueWriter(field));
  }
}

function singularWriter(name: string, field: DescField & { fieldKind: "message" | "scalar" | "enum" }): Write<Values> {
  const write = valueWriter(field);
  if (field.presence === FeatureSet_FieldPresence.IMPLICIT && field.scalar === ScalarType.BYTES) {
    return (message, at) => {
      const bytes = message[name] as Uint8Array;
      return bytes.length === 0 ? at : write(bytes, at);
    };
  }
  const absent = field.presence === FeatureSet_FieldPresence.IMPLICIT ? zeroOf(field) : undefined;
  return (message, at) => {
    const value = message[name];
    return value === absent ? at : write(value, at);
  };
}

/** A field of the value that every field begins with is not written; of fractions, -0 is another. */
function zeroOf({ scalar }: DescField): unknown {
  if (scalar === ScalarType.FLOAT || scalar === ScalarType.DOUBLE) return undefined;
  if (scalar === ScalarType.STRING) return "";
  if (scalar === ScalarType.BOOL) return false;
  return scalar === ScalarType.INT64 || scalar === ScalarType.UINT64 ? 0n : 0;
}

function memberWriter(name: string, oneofName: string, write: Write<unknown>): Write<Values> {
  return (message, at) => {
    const oneof = message[oneofName] as { readonly case: string | undefined; readonly value?: unknown };
    return oneof.case === name ? write(oneof.value, at) : at;
  };
}

function listWriter(name: string, field: DescField & { fieldKind: "list" }): Write<Values> {
  const write = valueWriter(field);
  // A packed list has one tag for all of its values.
  if (field.packed) return (message, at) => ((message[name] as readonly unknown[]).length === 0 ? at : Number.NaN);
  return (message, start) => {
    let at = start;
    for (const value of message[name] as readonly unknown[]) at = write(value, at);
    return at;
  };
}

function mapWriter(name: string, field: DescField & { fieldKind: "map" }): Write<Values> {
  const isText = field.mapKey === ScalarType.STRING;
  const writeKey = scalarWriter(field.mapKey, 1);
  const writeValue = valueWriter(field, 2);
  const writeEntry = lengthDelimited<readonly [string, unknown]>(field.number, ([key, value], at) =>
    writeValue(value, writeKey(isText ? key : Number(key), at)),
  );
  return (message, start) => {
    let at = start;
    for (const entry of Object.entries(message[name] as Values)) at = writeEntry(entry, at);
    return at;
  };
}

/** Writes the value of a field, or one of its values, with its tag. */
function valueWriter(field: DescField, number = field.number): Write<unknown> {
  const { message, scalar } = field;
  if (message === undefined) return scalarWriter(scalar ?? ScalarType.INT32, number);
  // The values of these are no messages.
  const isUnwrapped = isWrapperDesc(message) || message.typeName === "google.protobuf.Struct";
  return isUnwrapped ? notPlain : lengthDelimited(number, writerOf(message) as Write<unknown>);
}

/** Enums are written as INT32. */
function scalarWriter(scalar: ScalarType, number: number): Write<unknown> {
  switch (scalar) {
    case ScalarType.STRING:
      return tagged(number, WireType.LengthDelimited, writeText);
    case ScalarType.BYTES:
      return tagged(number, WireType.LengthDelimited, writeBytes);
    case ScalarType.BOOL:
      return tagged(number, WireType.Varint, (value, at) => (typeof value === "boolean" ? writeVarint(Number(value), at) : Number.NaN));
    case ScalarType.INT32:
    case ScalarType.UINT32:
      return tagged(number, WireType.Varint, (value, at) => (isSmall(value) ? writeVarint(value, at) : Number.NaN));
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return tagged(number, WireType.Varint, (value, at) => (typeof value === "bigint" ? writeLong(Number(value), at) : Number.NaN));
    case ScalarType.SINT32:
    case ScalarType.SINT64:
    case ScalarType.FIXED32:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED32:
    case ScalarType.SFIXED64:
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return notPlain;
  }
}

function isSmall(value: unknown): value is number {
  return typeof value === "number" && (value & 0x7fffffff) === value;
}

function tagged<Value>(number: number, wireType: WireType, write: Write<Value>): Write<Value> {
  const tag = (number << 3) | wireType;
  if (tag >= 0x80) return (value, at) => write(value, writeVarint(tag, at));
  return (value, at) => {
    buffer[at] = tag;
    return write(value, at + 1);
  };
}

/** The length comes first and is known last: there is room for one byte of it, and what follows moves if it needs more. */
function lengthDelimited<Value>(number: number, write: Write<Value>): Write<Value> {
  return tagged(number, WireType.LengthDelimited, (value, at) => {
    const end = write(value, at + 1);
    const length = end - at - 1;
    if (length < 0x80) {
      buffer[at] = length;
      return end;
    }
    return writeLength(length, at, end);
  });
}

/** Writes the length of what lies behind the one byte that was left for it. */
function writeLength(length: number, at: number, end: number): number {
  if (Number.isNaN(length)) return length;
  const start = at + sizeOfVarint(length);
  buffer.copyWithin(start, at + 1, end);
  writeVarint(length, at);
  return start + length;
}

const textEncoder = new TextEncoder();

function writeText(text: unknown, at: number): number {
  if (typeof text !== "string") return Number.NaN;
  const { length } = text;
  if (length >= 0x80) return writeLongText(text, at);
  buffer[at] = length;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code >= 0x80) return writeLongText(text, at);
    buffer[at + 1 + index] = code;
  }
  return at + 1 + length;
}

function writeLongText(text: string, at: number): number {
  // A UTF-16 unit takes three bytes at most, a length five.
  const most = at + 5 + 3 * text.length;
  if (most > buffer.length) return most;
  const { written } = textEncoder.encodeInto(text, buffer.subarray(at + 1));
  return writeLength(written, at, at + 1 + written);
}

function writeBytes(bytes: unknown, at: number): number {
  if (!(bytes instanceof Uint8Array)) return Number.NaN;
  const start = writeVarint(bytes.length, at);
  const end = start + bytes.length;
  if (end <= buffer.length) buffer.set(bytes, start);
  return end;
}

function writeVarint(value: number, start: number): number {
  let rest = value;
  let at = start;
  for (; rest >= 0x80; rest >>>= 7) buffer[at++] = (rest & 0x7f) | 0x80;
  buffer[at] = rest;
  return at + 1;
}

/** An integer of up to 53 bits. */
function writeLong(value: number, start: number): number {
  if (value >= 0 && value < 2 ** 31) return writeVarint(value, start);
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) return Number.NaN;
  let rest = value;
  let at = start;
  for (; rest >= 2 ** 28; rest = Math.floor(rest / 0x80)) buffer[at++] = (rest & 0x7f) | 0x80;
  return writeVarint(rest, at);
}

function sizeOfVarint(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}
