/** The gateway's own answers, and those of Connect, in the form that the services give theirs: with a reason. */

import { Code, ConnectError } from "@connectrpc/connect";
import { PUSHBACK, retryDelayMs, type StatusError, statusOf } from "../../internal/grpc/errors.ts";
import { SERVER_ERRORS } from "../../internal/serving/server-errors.ts";

/** An error as Connect sends it, in any of its protocols. */
export function connectErrorOf(error: StatusError): ConnectError {
  const status = statusOf(error, SERVER_ERRORS);
  const { code, message, details } = status;
  const pushbackMs = retryDelayMs(status);
  const answer = new ConnectError(message, code, pushbackMs === undefined ? {} : { [PUSHBACK]: String(pushbackMs) });
  answer.details = details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return answer;
}

/** Makes one error into another that is on its way to the caller already. */
export function correct(error: ConnectError, correction: StatusError): void {
  const { code, rawMessage, details } = connectErrorOf(correction);
  Object.assign(error, { code, rawMessage, details });
}

/** The name of a code in upper snake case. */
export function codeName(code: Code): string {
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
