/** The gateway's own answers, and those of Connect, in the form that the services give theirs: with a reason. */

import { Code, ConnectError, decodeBinaryHeader } from "@connectrpc/connect";
import { StatusSchema } from "../../internal/gen/google/rpc/status_pb.ts";
import { PUSHBACK, retryDelayMs, type StatusError, statusOf } from "../../internal/grpc/errors.ts";
import { SERVER_ERRORS } from "../../internal/serving/server-errors.ts";

/** An error as Connect sends it, in any of its protocols. */
export function connectErrorOf(error: StatusError): ConnectError {
  const { code, message, details } = statusOf(error, SERVER_ERRORS);
  const answer = new ConnectError(message, code);
  answer.details = details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return answer;
}

/** Makes one error into another that is on its way to the caller already. */
export function correct(error: ConnectError, correction: StatusError): void {
  const { code, rawMessage, details } = connectErrorOf(correction);
  Object.assign(error, { code, rawMessage, details });
}

/**
 * The trailers of an answer, and with them the delay that gRPC's own retries keep to. Connect sends no
 * trailers of gRPC but its own.
 */
export function withPushback(trailer: Headers): Readonly<Record<string, string>> {
  const details = trailer.get("grpc-status-details-bin");
  const delayMs = details === null ? undefined : retryDelayMs(decodeBinaryHeader(details, StatusSchema));
  return { ...Object.fromEntries(trailer), ...(delayMs === undefined ? {} : { [PUSHBACK]: String(delayMs) }) };
}

/** The name of a code in upper snake case. */
export function codeName(code: Code): string {
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
