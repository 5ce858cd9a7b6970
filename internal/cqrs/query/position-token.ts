/** Position tokens: up to where a subscription has delivered, per partition. Opaque to clients, but neither secret nor signed. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import type { Sequences, Stream } from "../positions.ts";
import { type EventPosition, markOfAll, sequencesAt, unmarkedPartitions } from "./event-position.ts";
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

/** What a token says of a position. */
export interface ClaimedPosition {
  readonly sequences: Sequences;
  /** Of the events that were there, see {@link markOfAll}. */
  readonly mark: number;
  /** The partitions whose event is not in the mark. */
  readonly unmarked: readonly number[];
}

/** The token of a position. */
export function formatPosition({ stream, hash }: Subscription, position: EventPosition): string {
  const where = streamPosition(stream.id, sequencesAt(position));
  const token = create(PositionTokenSchema, {
    position: where,
    subscription: hash,
    mark: markOfAll(position),
    unmarked: [...unmarkedPartitions(position)],
  });
  return base64Encode(toBinary(PositionTokenSchema, token), "url");
}

/**
 * What a token says of a position, which is still to be proven.
 *
 * @throws {PositionTokenError} it is not a position, or one of another subscription or stream
 */
export function parsePosition(text: string, { stream, hash }: Subscription): ClaimedPosition {
  const { position, subscription, mark, unmarked } = decode(text);
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
  // Of so many marks together 0 is one in four thousand million; a token that was cut off always has it.
  const isCutOff = mark === 0 && [...sequences.keys()].some((partition) => !unmarked.includes(partition));
  if (isCutOff) throw notAPosition();
  return { sequences, mark, unmarked };
}

/**
 * Holds the mark of a token against the events that are at its position now.
 *
 * @throws {PositionTokenError} they are others
 */
export function provePosition({ mark, unmarked }: ClaimedPosition, found: EventPosition): void {
  const marked = new Map([...found].filter(([partition]) => !unmarked.includes(partition)));
  if (markOfAll(marked) === mark) return;
  throw new PositionTokenError(
    "position is of events that are no more: the log has lost its end, or was restored, and has gone on with others; start without it, and compare what came before",
  );
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
