/**
 * What a request says beyond its .proto. A field that this server does not know may limit what is
 * asked for, or change what is to be done, so to pass over it would be to do something else.
 * Clients pass over the unknown fields of an answer, as protobuf means it.
 */

import type { DescField, DescMessage, MessageShape, UnknownField } from "@bufbuild/protobuf";
import { isWrapperDesc, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { FieldViolation } from "./errors.ts";

type Values = Readonly<Record<string, unknown>>;

/** Finds the first fault, with its path from the message. */
type Check = (message: Values) => FieldViolation | undefined;

/** From the first second of the year 1 to the last of 9999, as a Timestamp defines it. */
const earliestSecond = BigInt(Date.parse("0001-01-01T00:00:00Z") / 1000);
const latestSecond = BigInt(Date.parse("9999-12-31T23:59:59Z") / 1000);
const maxNanos = 999_999_999;

/**
 * The first field of the message, or of a message in it, that is unknown here or that holds a time
 * which is none.
 */
export function inexactField<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): FieldViolation | undefined {
  return checkOf(schema)(message);
}

const checks = new WeakMap<DescMessage, Check>();

function checkOf(schema: DescMessage): Check {
  const known = checks.get(schema);
  if (known !== undefined) return known;
  const fields: Check[] = [];
  const check: Check = (message) => {
    const unknown = message["$unknown"];
    if (unknown !== undefined) return unknownField(unknown as readonly UnknownField[]);
    for (const checkField of fields) {
      const fault = checkField(message);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };
  // Before its fields, because a message can contain itself.
  checks.set(schema, check);
  if (schema.typeName === TimestampSchema.typeName) fields.push((message) => checkTime(message as unknown as Timestamp));
  else fields.push(...schema.fields.flatMap(fieldCheck));
  return check;
}

/** Only messages can hold what is unknown. */
function fieldCheck(field: DescField): Check[] {
  const { message: schema, localName, name, oneof } = field;
  // The value of a wrapper is no message.
  if (schema === undefined || isWrapperDesc(schema)) return [];
  const check = checkOf(schema);
  switch (field.fieldKind) {
    case "list":
      return [(message) => checkList(message[localName] as readonly Values[], check, name)];
    case "map":
      return [(message) => checkMap(message[localName] as Readonly<Record<string, Values>>, check, name)];
    case "message":
      if (oneof === undefined) return [(message) => checkOne(message[localName] as Values | undefined, check, name)];
      return [
        (message) => {
          const member = message[oneof.localName] as { readonly case: string | undefined; readonly value?: Values };
          return member.case === localName ? checkOne(member.value, check, name) : undefined;
        },
      ];
  }
}

function checkOne(value: Values | undefined, check: Check, name: string): FieldViolation | undefined {
  const fault = value === undefined ? undefined : check(value);
  return fault === undefined ? undefined : within(name, fault);
}

function checkList(values: readonly Values[], check: Check, name: string): FieldViolation | undefined {
  for (let index = 0; index < values.length; index++) {
    const fault = check(values[index] as Values);
    if (fault !== undefined) return within(`${name}[${index}]`, fault);
  }
  return undefined;
}

function checkMap(values: Readonly<Record<string, Values>>, check: Check, name: string): FieldViolation | undefined {
  for (const [key, value] of Object.entries(values)) {
    const fault = check(value);
    if (fault !== undefined) return within(`${name}[${key}]`, fault);
  }
  return undefined;
}

function within(name: string, fault: FieldViolation): FieldViolation {
  return { ...fault, field: fault.field === "" ? name : `${name}.${fault.field}` };
}

function unknownField([first]: readonly UnknownField[]): FieldViolation {
  return {
    field: "",
    description: `has a field with the number ${first?.no}, which this server does not know`,
    reason: "UNKNOWN_FIELD",
  };
}

function checkTime({ seconds, nanos }: Timestamp): FieldViolation | undefined {
  if (nanos >= 0 && nanos <= maxNanos && seconds >= earliestSecond && seconds <= latestSecond) return undefined;
  const description = `must have nanos from 0 to ${maxNanos} and lie in the years 1 to 9999`;
  return { field: "", description, reason: "INVALID_TIME" };
}
