/** What a caller has seen so far, by the tokens of its call, and what it is answered. */

import { mergePositions, type Positions, type Stream } from "../cqrs/positions.ts";
import { formatToken, OtherStreamError, parseToken, readToken, TokenError } from "../cqrs/query/token.ts";
import type { Call } from "../grpc/call.ts";
import { invalidArgument, type StatusError } from "../grpc/errors.ts";

/** The metadata with tokens, of a call and of its answer. */
const TOKENS = "headwater-token";

/** Of all tokens of a call. With what clients and proxies add, metadata stays below the 8 KiB that gRPC takes by default. */
const MAX_TOKEN_BYTES = 6 * 1024;

/** A token in a field of the request, by the field's path. */
export interface FieldToken {
  readonly field: string;
  readonly token: string;
}

/** The tokens of a call. */
export interface CallTokens {
  readonly inField: FieldToken;
  readonly inMetadata: readonly string[];
}

/** What a caller has seen so far. */
export interface Session {
  /** Of the streams of this service. */
  readonly seen: Positions;
  /** Answers with a token of what the caller has seen and now sees, and with the tokens of other services as they came. */
  answer(shown: Positions): string;
}

/** The tokens of a call; none of them is read yet. @throws {StatusError} INVALID_ARGUMENT: they are too many */
export function tokensOf(call: Pick<Call, "headers">, inField: FieldToken): CallTokens {
  const inMetadata = call.headers(TOKENS).filter((token) => token !== "");
  let bytes = inField.token.length;
  for (const token of inMetadata) bytes += token.length;
  if (bytes <= MAX_TOKEN_BYTES) return { inField, inMetadata };
  throw invalidToken(TOKENS, `all tokens of a call may have ${MAX_TOKEN_BYTES} bytes together, and these have ${bytes}`);
}

/** Whether a call came with any token at all. */
export function hasTokens({ inField, inMetadata }: CallTokens): boolean {
  return inField.token !== "" || inMetadata.length > 0;
}

/**
 * Reads the tokens of a call. One in the request has to be of these streams; in the metadata, a
 * token of other streams is left for the service that it belongs to.
 *
 * @throws {StatusError} INVALID_ARGUMENT: one is no token, or that in the request counts other streams
 */
export function openSession(
  call: Pick<Call, "setResponseTrailer">,
  { inField, inMetadata }: CallTokens,
  streams: readonly Stream[],
): Session {
  let seen = read(inField.field, () => parseToken(inField.token, streams));
  const foreign = new Set<string>();
  for (const token of inMetadata) {
    const { positions, isForeign } = read(TOKENS, () => readToken(token, streams));
    if (isForeign) foreign.add(token);
    if (positions.size > 0) seen = mergePositions(seen, positions);
  }
  return {
    seen,
    answer(shown) {
      const token = formatToken(seen.size === 0 ? shown : mergePositions(seen, shown));
      call.setResponseTrailer(TOKENS, ...(token === "" ? [] : [token]), ...foreign);
      return token;
    },
  };
}

function read<Result>(field: string, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    throw invalidToken(field, error.message, error instanceof OtherStreamError ? "TOKEN_OF_ANOTHER_STREAM" : "INVALID_TOKEN");
  }
}

function invalidToken(field: string, description: string, reason = "INVALID_TOKEN"): StatusError {
  return invalidArgument([{ field, description, reason }]);
}
