/** Errors that reach the caller: a gRPC status with google.rpc details. Whatever else is thrown is "internal error" to him. */

import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../gen/google/rpc/status_pb.ts";

/** A status with its details must fit in the 8 KiB of header fields that gRPC clients accept by default. */
const maxFieldViolations = 20;

/** What becomes the google.rpc.ErrorInfo of a status; its domain is the server's. */
export interface ErrorFacts {
  /** UPPER_SNAKE_CASE; callers decide by it, so it never changes its meaning. */
  readonly reason: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface FieldViolation {
  /** The path as in the .proto, such as "lines[0].quantity". */
  readonly field: string;
  readonly description: string;
  /** The id of the rule that does not hold. */
  readonly reason: string;
}

/** An answer that is not OK, of which everything may be shown to the caller. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: Code;
  readonly facts: ErrorFacts;
  /** Details beside the ErrorInfo. */
  readonly details: readonly Any[];

  constructor(code: Code, message: string, facts: ErrorFacts, details: readonly Any[] = []) {
    super(message);
    this.code = code;
    this.facts = facts;
    this.details = details;
  }
}

const internalError = new StatusError(Code.INTERNAL, "internal error", { reason: "INTERNAL" });

/** Fields of the request that break the rules in the .proto. The message names the first, so that a person sees it at once. */
export function invalidArgument(violations: readonly [FieldViolation, ...FieldViolation[]]): StatusError {
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  const subject = first.field === "" ? "the request" : first.field;
  // The schema of reason "[A-Z][A-Z0-9_]+" does not fit rule ids such as "string.min_len"; they are what a caller can look up.
  const badRequest = create(BadRequestSchema, { fieldViolations: violations.slice(0, maxFieldViolations) });
  return new StatusError(Code.INVALID_ARGUMENT, `${subject}: ${first.description}${more}`, { reason: "FIELD_VIOLATIONS" }, [
    anyPack(BadRequestSchema, badRequest),
  ]);
}

/** The call may be repeated as it is, after a while. */
export function unavailable(message: string, facts: ErrorFacts, retryAfterMs: number): StatusError {
  return new StatusError(Code.UNAVAILABLE, message, facts, [retryInfo(retryAfterMs)]);
}

/** A limit of the server is reached; the call may be repeated as it is, after a while. */
export function resourceExhausted(message: string, facts: ErrorFacts, retryAfterMs: number): StatusError {
  return new StatusError(Code.RESOURCE_EXHAUSTED, message, facts, [retryInfo(retryAfterMs)]);
}

export function deadlineExceeded(message: string, facts: ErrorFacts): StatusError {
  return new StatusError(Code.DEADLINE_EXCEEDED, message, facts);
}

/**
 * What the caller is told of an error: the status of a {@link StatusError}, or INTERNAL and nothing
 * of the cause.
 */
export function statusOf(error: unknown, errorDomain: string): Status {
  const { code, message, facts, details } = error instanceof StatusError ? error : internalError;
  const info = create(ErrorInfoSchema, { reason: facts.reason, domain: errorDomain, metadata: { ...facts.metadata } });
  return create(StatusSchema, {
    code,
    // gRPC percent-encodes the message, which a lone surrogate would break.
    message: message.toWellFormed(),
    details: [anyPack(ErrorInfoSchema, info), ...details],
  });
}

/** The trailer by which gRPC's own retries are told when to come again. */
export const PUSHBACK = "grpc-retry-pushback-ms";

/** When a call may come again, by the RetryInfo of its status, in whole milliseconds. */
export function retryDelayMs({ details }: Status): number | undefined {
  for (const detail of details) {
    const info = anyUnpack(detail, RetryInfoSchema);
    if (info?.retryDelay !== undefined) return Math.ceil(durationMs(info.retryDelay));
  }
  return undefined;
}

/** A status as grpc-js sends it, with the details in the trailer where gRPC clients look for them. */
export function toGrpcStatus(status: Status, trailers = new Metadata()): { code: Code; details: string; metadata: Metadata } {
  trailers.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  const pushbackMs = retryDelayMs(status);
  if (pushbackMs !== undefined) trailers.set(PUSHBACK, String(pushbackMs));
  return { code: status.code, details: status.message, metadata: trailers };
}

function retryInfo(retryAfterMs: number): Any {
  return anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) }));
}
