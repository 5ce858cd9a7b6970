/** How queries wait for what their callers have seen, and what these are told when it does not come. */

import { status as Code } from "@grpc/grpc-js";
import { DocumentsUnavailableError } from "../cqrs/documents.ts";
import type { Positions } from "../cqrs/positions.ts";
import type { Projection } from "../cqrs/projection.ts";
import { type Freshness, NotYetVisibleError, RefusedDocumentsError } from "../cqrs/query/freshness.ts";
import { PageTokenError } from "../cqrs/query/page-token.ts";
import { PositionTokenError } from "../cqrs/query/position-token.ts";
import { QueryArgumentError } from "../cqrs/query/query.ts";
import { ReadMaskError } from "../cqrs/query/read-mask.ts";
import { NewerEventError } from "../cqrs/upcasting.ts";
import type { Call } from "../grpc/call.ts";
import { type FieldViolation, invalidArgument, StatusError, unavailable } from "../grpc/errors.ts";
import { openSession, type Session, tokensIn } from "./session.ts";

/** How long a query waits for its token's position and for its documents at most; normally both take milliseconds. */
export const MAX_WAIT_MS = 10_000;

/**
 * How many calls may wait for their token's position at once, well below the calls in progress: a
 * token with a position that nobody wrote is easily made, and would hold a call for the whole wait.
 */
const MAX_WAITING = 1_000;

const RETRY_WHEN_STALE_MS = 100;
const RETRY_AFTER_OUTAGE_MS = 1_000;

/** What the caller of a query has seen, by the tokens of its call. A call without any does not wait for the streams to be known. */
export async function sessionOf(freshness: Freshness, call: Call, token: string, signal: AbortSignal): Promise<Session> {
  const tokens = tokensIn(call);
  const streams = token === "" && tokens.length === 0 ? [] : await freshness.known(signal);
  return openSession(call, tokens, streams).including({ field: "consistency_token", token });
}

/** Waits until a view shows a position that a caller named. */
export async function untilShown(freshness: Freshness, view: Projection, positions: Positions, given: AbortSignal): Promise<void> {
  if (positions.size === 0) return;
  // Beyond that, only what is visible already is.
  const signal = waiting < MAX_WAITING ? given : AbortSignal.abort();
  waiting++;
  try {
    await freshness.waitFor(view, positions, signal);
  } finally {
    waiting--;
  }
}

let waiting = 0;

/**
 * Reads until what was read rests on the token's position all the way: documents that were set back before they were read may show less, and
 * then the reading waits again.
 */
export async function readVisible<Result>(
  {
    freshness,
    view,
    wanted,
    signal,
  }: { readonly freshness: Freshness; readonly view: Projection; readonly wanted: Positions; readonly signal: AbortSignal },
  read: () => Promise<Result>,
): Promise<Result> {
  for (;;) {
    await untilShown(freshness, view, wanted, signal);
    const result = await read();
    if (await freshness.confirms(view, wanted)) return result;
    if (signal.aborted) throw new NotYetVisibleError(`the view ${view.name} does not show this token's position yet`);
  }
}

export function statusErrorOf(error: unknown): unknown {
  if (error instanceof PageTokenError) return invalid("page_token", error.message, "INVALID_PAGE_TOKEN");
  if (error instanceof QueryArgumentError) return invalid(error.field, error.message, error.reason);
  if (error instanceof ReadMaskError) return invalidMask(error);
  if (error instanceof PositionTokenError) return invalid("position", error.message, "INVALID_POSITION");
  if (error instanceof NotYetVisibleError)
    return unavailable(`${error.message}; try again`, { reason: "NOT_YET_VISIBLE" }, RETRY_WHEN_STALE_MS);
  if (error instanceof RefusedDocumentsError) {
    return new StatusError(Code.FAILED_PRECONDITION, error.message, { reason: "DOCUMENTS_NOT_OF_THE_LOG" });
  }
  if (error instanceof DocumentsUnavailableError) {
    return unavailable("the documents are not available; try again", { reason: "DOCUMENTS_UNAVAILABLE" }, RETRY_AFTER_OUTAGE_MS);
  }
  if (error instanceof NewerEventError)
    return unavailable("a newer version of this service is on its way; try again", { reason: "NEWER_EVENT" }, RETRY_AFTER_OUTAGE_MS);
  return error;
}

function invalidMask({ faults }: ReadMaskError): StatusError {
  const violations = [...faults].map(([index, description]) => ({
    field: `read_mask.paths[${index}]`,
    description,
    reason: "INVALID_READ_MASK",
  }));
  // There is no such error without a fault.
  return invalidArgument(violations as [FieldViolation, ...FieldViolation[]]);
}

function invalid(field: string, description: string, reason: string): StatusError {
  return invalidArgument([{ field, description, reason }]);
}
