/**
 * Decodes messages as protobuf-es does, in a fraction of its time: what a message begins with is copied in one go, and text needs no list of its
 * characters. What is not plain is left to protobuf-es: unknown fields, negative and huge integers, fields that come twice, broken bytes, and
 * kinds of fields that our messages do not have.
 */

import { create, type DescField, type DescMessage, fromBinary, type Message, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { WireType } from "@bufbuild/protobuf/wire";
import { Edition, isWrapperDesc } from "@bufbuild/protobuf/wkt";

type Values = Record<string, unknown>;

/** Reads a field's value at `place` into a message, and leaves `place` behind it: it is NaN if that is not plain. */
type ReadInto = (message: Values) => void;
type Read = () => unknown;

/** What is being decoded: synchronously, so one message at a time. */
let bytes: Uint8Array = new Uint8Array();
let place = 0;

/**
 * The message in bytes. Its fields of bytes lie in them.
 *
 * @throws {Error} as protobuf-es throws
 */
export function decode<Desc extends DescMessage>(schema: Desc, from: Uint8Array): MessageShape<Desc> {
  return decodePlain(schema, from) ?? fromBinary(schema, from);
}

/** A message says something that this code does not know: newer code has written it. */
export class UnknownFieldError extends Error {
  override readonly name = "UnknownFieldError";
}

/**
 * The same, of a message whose reader must not miss anything that it says.
 *
 * @throws {UnknownFieldError} it has a field that the schema does not know
 * @throws {Error} as protobuf-es throws
 */
export function decodeKnown<Desc extends DescMessage>(schema: Desc, from: Uint8Array): MessageShape<Desc> {
  const plain = decodePlain(schema, from);
  if (plain !== undefined) return plain;
  const message = fromBinary(schema, from);
  const unknown = unknownField(reflect(schema, message));
  if (unknown !== undefined) throw new UnknownFieldError(`${schema.typeName} has a field that this code does not know: ${unknown}`);
  return message;
}

/** The path of a field that the schema does not know, which ends in its number. */
function unknownField(message: ReflectMessage): string | undefined {
  const [unknown] = message.getUnknown() ?? [];
  if (unknown !== undefined) return String(unknown.no);
  for (const field of message.fields) {
    if (field.message === undefined || !message.isSet(field)) continue;
    for (const inner of messagesIn(message, field)) {
      const path = unknownField(reflect(field.message, inner));
      if (path !== undefined) return `${field.name}.${path}`;
    }
  }
  return undefined;
}

function messagesIn(message: ReflectMessage, field: DescField & { message: DescMessage }): readonly Message[] {
  if (field.fieldKind === "list") return [...message.get(field)].map((item) => (item as ReflectMessage).message);
  if (field.fieldKind === "map") return [...message.get(field).values()].map((item) => (item as ReflectMessage).message);
  return [message.get(field).message];
}

/** Undefined: it is not plain. */
function decodePlain<Desc extends DescMessage>(schema: Desc, from: Uint8Array): MessageShape<Desc> | undefined {
  bytes = from;
  place = 0;
  const message = readerOf(schema)(from.length);
  // The fields were found in the descriptor that the type was made of.
  return place === from.length ? (message as MessageShape<Desc>) : undefined;
}

type ReadMessage = (end: number) => Values | undefined;

const readers = new WeakMap<DescMessage, ReadMessage>();

function readerOf(schema: DescMessage): ReadMessage {
  const known = readers.get(schema);
  if (known !== undefined) return known;
  // Of what contains itself the inner one is not plain: nobody has to count how deep it is.
  readers.set(schema, notPlain);
  const fields: ReadInto[] = [];
  if (schema.file.edition === Edition.EDITION_PROTO3) for (const field of schema.fields) addReader(fields, field);
  const zero = create(schema) as unknown as Values;
  const fresh = Object.entries(zero).filter(([, value]) => typeof value === "object" && !(value instanceof Uint8Array));
  const read: ReadMessage = (end) => {
    const message = { ...zero };
    for (const [name, value] of fresh) message[name] = Array.isArray(value) ? [] : { ...(value as object) };
    while (place < end) (fields[readVarint()] ?? notPlain)(message);
    if (place !== end) notPlain();
    return message;
  };
  readers.set(schema, read);
  return read;
}

/** By its tag. */
function addReader(fields: ReadInto[], field: DescField): void {
  const [wireType, read] = valueReader(field);
  const { localName: name, oneof } = field;
  const tag = (field.number << 3) | wireType;
  // What a list has packed has another tag.
  if (field.fieldKind === "list") fields[tag] = (message) => void (message[name] as unknown[]).push(read());
  else if (field.fieldKind === "map") fields[tag] = notPlain;
  else if (oneof !== undefined) {
    fields[tag] = (message) => {
      if ((message[oneof.localName] as { readonly case?: string }).case !== undefined) notPlain();
      message[oneof.localName] = { case: name, value: read() };
    };
  } else if (field.fieldKind === "message") {
    fields[tag] = (message) => {
      if (message[name] !== undefined) notPlain();
      message[name] = read();
    };
  } else {
    fields[tag] = (message) => {
      message[name] = read();
    };
  }
}

function valueReader(field: DescField): readonly [WireType, Read] {
  const { message, scalar } = field;
  if (message !== undefined) {
    const isUnwrapped = isWrapperDesc(message) || message.typeName === "google.protobuf.Struct";
    const read = isUnwrapped ? notPlain : readerOf(message);
    return [WireType.LengthDelimited, () => read(readEnd())];
  }
  switch (scalar) {
    case ScalarType.STRING:
      return [WireType.LengthDelimited, readText];
    case ScalarType.BYTES:
      return [WireType.LengthDelimited, readBytes];
    case ScalarType.BOOL:
      return [WireType.Varint, () => readVarint() !== 0];
    case ScalarType.INT64:
    case ScalarType.UINT64:
      // The option jstype makes text of it.
      return [WireType.Varint, "longAsString" in field && field.longAsString ? notPlain : readLong];
    // An enum.
    case undefined:
    case ScalarType.INT32:
    case ScalarType.UINT32:
      return [WireType.Varint, readVarint];
    case ScalarType.SINT32:
    case ScalarType.SINT64:
    case ScalarType.FIXED32:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED32:
    case ScalarType.SFIXED64:
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return [WireType.Varint, notPlain];
  }
}

function notPlain(): undefined {
  place = Number.NaN;
}

/** Up to 31 bits. */
function readVarint(): number {
  const first = next();
  if (first < 0x80) return first;
  let value = first & 0x7f;
  for (let shift = 7; shift < 28; shift += 7) {
    const byte = next();
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  const last = next();
  if (last >= 0x08) notPlain();
  return value | (last << 28);
}

/** Up to 53 bits. */
function readLong(): bigint {
  let value = 0;
  let unit = 1;
  for (; unit < 2 ** 49; unit *= 0x80) {
    const byte = next();
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return BigInt(value);
  }
  const last = next();
  if (last >= 0x10) notPlain();
  return BigInt(value + last * unit);
}

function readEnd(): number {
  const length = readVarint();
  return place + length;
}

function readBytes(): Uint8Array {
  const end = readEnd();
  const start = place;
  place = end <= bytes.length ? end : Number.NaN;
  return bytes.subarray(start, end);
}

/** The characters of a text, by its length. */
const characters: number[][] = Array.from({ length: 64 }, (_, length) => Array.from({ length }, () => 0));

const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(): string {
  const end = readEnd();
  const codes = characters[end - place];
  if (codes === undefined || end > bytes.length) return readLongText(end);
  const start = place;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte >= 0x80) return readLongText(end);
    codes[at - start] = byte;
  }
  place = end;
  return String.fromCharCode.apply(undefined, codes);
}

function readLongText(end: number): string {
  const text = bytes.subarray(place, end);
  place = end <= bytes.length ? end : Number.NaN;
  try {
    return textDecoder.decode(text);
  } catch {
    notPlain();
    return "";
  }
}

/** Behind the end there is nothing but zeros, and then the place is not where it should be. */
function next(): number {
  const byte = bytes[place] ?? 0;
  place += 1;
  return byte;
}
