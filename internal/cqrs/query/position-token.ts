/** Position tokens: up to where a subscription has delivered, per partition. Opaque to clients, but neither secret nor signed. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { type Sequences, sequencesOf, type TokenLog, tokenSequences } from "./token.ts";

/** A position that a subscription cannot go on from, with a message that says what to do. */
export class PositionTokenError extends Error {
  override readonly name = "PositionTokenError";
}

/** What a position belongs to. */
export interface Subscription {
  readonly log: TokenLog;
  /** Identifies what is subscribed to. */
  readonly hash: Uint8Array;
}

/** The token of a position. */
export function formatPosition({ log, hash }: Subscription, sequences: Sequences): string {
  const token = create(PositionTokenSchema, { logId: log.id, subscription: hash, sequences: tokenSequences(sequences) });
  return base64Encode(toBinary(PositionTokenSchema, token), "url");
}

/**
 * The sequences of a position.
 *
 * @throws {PositionTokenError} it is not a position, or one of another subscription or log
 */
export function parsePosition(text: string, { log, hash }: Subscription): Sequences {
  const token = decode(text);
  if (token.logId === "") throw notAPosition();
  if (token.logId !== log.id) {
    throw new PositionTokenError("position belongs to another log (another cluster, or data that was reset); start without it");
  }
  if (token.subscription.length !== hash.length || token.subscription.some((byte, index) => byte !== hash[index])) {
    throw new PositionTokenError("position belongs to another subscription; repeat the request that it was given for, or start without it");
  }
  const sequences = sequencesOf(token.sequences, log);
  if (sequences === undefined) throw notAPosition();
  return sequences;
}

function decode(text: string) {
  try {
    return fromBinary(PositionTokenSchema, base64Decode(text));
  } catch (cause) {
    throw notAPosition(cause);
  }
}

function notAPosition(cause?: unknown): PositionTokenError {
  return new PositionTokenError("position is not one of this service; pass that of the last response unchanged", { cause });
}
