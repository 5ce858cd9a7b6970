import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import { status as Code } from "@grpc/grpc-js";
import { type FieldViolation, invalidArgument, StatusError } from "./errors.ts";
import { inexactField } from "./exact.ts";

const validator = createValidator();

/** @throws {StatusError} INVALID_ARGUMENT: the bytes are no such message */
export function decode<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch {
    throw new StatusError(Code.INVALID_ARGUMENT, `the request is not a valid ${schema.typeName}`, { reason: "MALFORMED_MESSAGE" });
  }
}

/**
 * Holds a message against its .proto and the rules in there. @throws {StatusError} INVALID_ARGUMENT
 * with the fields that break them
 */
export function validate<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): void {
  const inexact = inexactField(schema, message);
  if (inexact !== undefined) throw invalidArgument([inexact]);
  const result = validator.validate(schema, message);
  if (result.kind === "error") throw result.error;
  if (result.kind === "valid") return;
  const [first, ...others] = result.violations.map(fieldViolation);
  if (first !== undefined) throw invalidArgument([first, ...others]);
}

function fieldViolation({ field, message, ruleId }: Violation): FieldViolation {
  return { field: pathToString(field), description: message, reason: ruleId };
}
