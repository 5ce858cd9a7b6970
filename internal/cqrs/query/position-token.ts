/** Position tokens: up to where a subscription has delivered, per partition. Opaque to clients, but neither secret nor signed. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import type { Sequences, Stream } from "../positions.ts";
import { sequencesOf, streamPosition } from "./token.ts";

/** A position that a subscription cannot go on from, with a message that says what to do. */
export class PositionTokenError extends Error {
  override readonly name = "PositionTokenError";
}

/** What a position belongs to. */
export interface Subscription {
  readonly stream: Stream;
  /** Identifies what is subscribed to. */
  readonly hash: Uint8Array;
}

/** The token of a position. */
export function formatPosition({ stream, hash }: Subscription, sequences: Sequences): string {
  const token = create(PositionTokenSchema, { position: streamPosition(stream.id, sequences), subscription: hash });
  return base64Encode(toBinary(PositionTokenSchema, token), "url");
}

/**
 * The sequences of a position.
 *
 * @throws {PositionTokenError} it is not a position, or one of another subscription or stream
 */
export function parsePosition(text: string, { stream, hash }: Subscription): Sequences {
  const { position, subscription } = decode(text);
  if (position === undefined || position.stream === "") throw notAPosition();
  if (position.stream !== stream.id) {
    throw new PositionTokenError(
      "position counts another stream of events (another cluster, or topics that were created again); start without it",
    );
  }
  if (subscription.length !== hash.length || subscription.some((byte, index) => byte !== hash[index])) {
    throw new PositionTokenError("position belongs to another subscription; repeat the request that it was given for, or start without it");
  }
  const sequences = sequencesOf(position, stream);
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
