/** What an answer says about a command: accepted, refused by the business, not taken, or nothing for certain. */

import { status as Code } from "@grpc/grpc-js";
import { timestampToMs } from "../../internal/cqrs/time.ts";
import { CommandStage, type Receipt } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { ExecuteResponse, GetCommandOutcomeResponse } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { CallError, detailsOf, type FailedCall } from "../support/grpc-client.ts";
import type { Attempt, Result } from "./history.ts";

/** Reasons of calls that were refused before anything was done. */
const refusals: ReadonlySet<string> = new Set([
  "NOT_SERVING",
  "SERVER_STOPPING",
  "TOO_MANY_CALLS",
  "TOO_MANY_COMMANDS",
  "COMMAND_NOT_FOUND",
]);

/** What the command would write was larger than the log took at that time. */
const TOO_LARGE = "COMMAND_TOO_LARGE";

const invalid: number = Code.INVALID_ARGUMENT;

export const pending: Result = { kind: "unknown", reason: "not answered" };

export function isFinal({ result }: Pick<Attempt, "result">): boolean {
  return result.kind === "ok" || result.kind === "rejected";
}

export function resultOfReceipt({ version, consistencyToken, stage, acceptedAt }: Receipt): Result {
  if (stage === CommandStage.ACCEPTED) return { kind: "ok", stage, token: "" };
  const accepted = acceptedAt === undefined ? {} : { acceptedAtMs: timestampToMs(acceptedAt) };
  return { kind: "ok", stage, version, token: consistencyToken, ...accepted };
}

export function resultOfError(error: unknown): Result {
  return error instanceof CallError ? resultOfFailure(error) : { kind: "unknown", reason: String(error) };
}

export function resultOfResponse({ result }: ExecuteResponse): Result {
  switch (result.case) {
    case "receipt":
      return resultOfReceipt(result.value);
    case "status":
      return resultOfFailure(detailsOf(result.value));
    case undefined:
      return { kind: "unknown", reason: "an answer without a result" };
  }
}

export function resultOfOutcome({ outcome }: GetCommandOutcomeResponse): Result {
  if (outcome.case === "receipt") return resultOfReceipt(outcome.value);
  const { reason = "", message = "", metadata = {} } = outcome.value ?? {};
  const version = Number(metadata["current_version"]);
  return { kind: "rejected", reason, message, version, token: "" };
}

/** Why a call failed, in a word. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof CallError)) return String(error);
  return error.reason ?? `${Code[error.code] ?? error.code}: ${error.message.replace(/\d.*/, "…")}`;
}

function resultOfFailure({ code, reason, message, metadata }: FailedCall): Result {
  // It was not decided, and will be, sent again when the log takes more.
  if (reason === TOO_LARGE) return { kind: "unknown", reason };
  const name = reason ?? `${Code[code] ?? code}: ${message.replace(/\d.*/, "…")}`;
  if (metadata["version"] !== undefined) {
    return { kind: "rejected", reason: name, message, version: Number(metadata["version"]), token: metadata["consistency_token"] ?? "" };
  }
  const isRefused = invalid === code || (reason !== undefined && refusals.has(reason));
  return { kind: isRefused ? "failed" : "unknown", reason: name };
}
