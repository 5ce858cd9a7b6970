/** What is said of a call by its headers alone, before grpc-js sees them. */

import type { IncomingHttpHeaders } from "node:http2";
import { status as Code } from "@grpc/grpc-js";
import { deadlineExceeded, invalidArgument, StatusError } from "./errors.ts";
import { asciiHeader } from "./header-text.ts";
import { grpcTimeout, maxTimerMs, parseGrpcTimeout } from "./timeouts.ts";

export interface Screening {
  /** Paths of methods. */
  readonly isKnown: (path: string) => boolean;
  readonly maxHeaders: number;
}

/**
 * Writes the headers so that grpc-js reads them as they are meant: it takes a long deadline for one
 * that has passed, and drops what is not ASCII.
 *
 * @throws {StatusError} the call is not for this server
 */
export function screen(headers: IncomingHttpHeaders, count: number, { isKnown, maxHeaders }: Screening): void {
  if (count > maxHeaders) throw tooManyHeaders(count, maxHeaders);
  const path = headers[":path"] ?? "";
  if (!isKnown(path)) throw unknownMethod(path);
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string") headers[name] = asciiHeader(value);
  }
  const timeout = headers["grpc-timeout"];
  if (timeout === undefined) return;
  const timeoutMs = typeof timeout === "string" ? parseGrpcTimeout(timeout) : undefined;
  if (timeoutMs === undefined) throw noTimeout();
  if (timeoutMs === 0) throw deadlineExceeded("the deadline has passed", { reason: "DEADLINE_EXCEEDED" });
  if (timeoutMs > maxTimerMs) headers["grpc-timeout"] = grpcTimeout(timeoutMs);
}

/** Repeated as it is, it would be refused again. */
export function tooManyHeaders(count: number, maxHeaders: number): StatusError {
  return new StatusError(Code.RESOURCE_EXHAUSTED, `the call has ${count} headers; at most ${maxHeaders} are taken`, {
    reason: "TOO_MANY_HEADERS",
  });
}

export function unknownMethod(path: string): StatusError {
  return new StatusError(Code.UNIMPLEMENTED, `this server has no method ${path}`, { reason: "UNKNOWN_METHOD" });
}

function noTimeout(): StatusError {
  const description = "must be 1 to 8 digits and one of H, M, S, m, u and n";
  return invalidArgument([{ field: "grpc-timeout", description, reason: "INVALID_TIMEOUT" }]);
}
