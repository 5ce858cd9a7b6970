/** What a caller has seen so far, by the tokens of its call, and what it is answered. */

import { mergePositions, noPositions, type Positions, type Stream } from "../cqrs/positions.ts";
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

/** What a caller has seen so far. */
export interface Session {
  /** Of the streams of this service. */
  readonly seen: Positions;
  /**
   * The same caller, with a token that came in a field of the request. It has to be of these streams.
   *
   * @throws {StatusError} INVALID_ARGUMENT: it is no token, or counts other streams, or the tokens are too many
   */
  including(token: FieldToken): Session;
  /** A token of what the caller has seen and is shown now. */
  answer(shown: Positions): string;
  /**
   * Sets what the call answers with: a token of all that was shown in it, and the tokens of other
   * services as they came. Nothing, if nothing was shown: then the caller keeps its tokens.
   */
  end(): void;
}

/** The tokens in the metadata of a call; none of them is read yet. */
export function tokensIn(call: Pick<Call, "headers">): readonly string[] {
  return call.headers(TOKENS).filter((token) => token !== "");
}

/**
 * Reads the tokens in the metadata of a call. One of other streams is left for the service that it
 * belongs to.
 *
 * @throws {StatusError} INVALID_ARGUMENT: one is no token, or they are too many
 */
export function openSession(call: Pick<Call, "setResponseTrailer">, tokens: readonly string[], streams: readonly Stream[]): Session {
  const bytes = tokens.reduce((sum, { length }) => sum + length, 0);
  checkBytes(bytes);
  const foreign = new Set<string>();
  let inMetadata = noPositions;
  for (const token of tokens) {
    const { positions, isForeign } = read(TOKENS, () => readToken(token, streams));
    if (isForeign) foreign.add(token);
    inMetadata = merged(inMetadata, positions);
  }
  let answered = noPositions;
  return sessionFrom(inMetadata);

  function sessionFrom(seen: Positions): Session {
    const session: Session = {
      seen,
      including({ field, token }) {
        if (token === "") return session;
        checkBytes(bytes + token.length);
        const inField = read(field, () => parseToken(token, streams));
        return sessionFrom(merged(seen, inField));
      },
      answer(shown) {
        const positions = merged(seen, shown);
        answered = merged(answered, positions);
        return formatToken(positions);
      },
      end() {
        if (answered.size > 0) call.setResponseTrailer(TOKENS, formatToken(answered), ...foreign);
      },
    };
    return session;
  }
}

/** One of them as it is where the other is empty: its token may be known already. */
function merged(one: Positions, other: Positions): Positions {
  if (one.size === 0) return other;
  return other.size === 0 ? one : mergePositions(one, other);
}

function checkBytes(bytes: number): void {
  if (bytes <= MAX_TOKEN_BYTES) return;
  throw invalidToken(TOKENS, `all tokens of a call may have ${MAX_TOKEN_BYTES} bytes together, and these have ${bytes}`);
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
