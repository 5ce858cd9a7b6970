/**
 * Consistency tokens: what a reader must have applied, per stream and partition, to show what a writer saw (P4). Opaque to clients.
 *
 * A token counts in partition sequences, not in offsets: see docs/decisions/sequence-instead-of-offset.md.
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { ConsistencyTokenSchema, type StreamPosition, type StreamPositionSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { noPositions, type Positions, type Sequences, type Stream } from "../positions.ts";

/** A token that cannot be honoured, with a message that says what to do. */
export class TokenError extends Error {
  override readonly name: string = "TokenError";
}

/** A token that counts a stream which is not here: a client has to drop it. */
export class OtherStreamError extends TokenError {
  override readonly name = "OtherStreamError";
}

/** A token is asked for far more often than positions change: each set of them is encoded once. */
const formatted = new WeakMap<Positions, string>();

/** The token of positions, which must not change afterwards; the empty one if there are none. */
export function formatToken(positions: Positions): string {
  const known = formatted.get(positions);
  if (known !== undefined) return known;
  const token = encode(positions);
  formatted.set(positions, token);
  return token;
}

/**
 * The positions of a token; none for an empty one.
 *
 * @throws {OtherStreamError} it counts a stream that is not among these
 * @throws {TokenError} it is not a token
 */
export function parseToken(text: string, streams: readonly Stream[]): Positions {
  const { positions, isForeign } = readToken(text, streams);
  if (!isForeign) return positions;
  throw new OtherStreamError(
    "consistency_token counts another stream of events (another domain or cluster, or topics that were created again); drop it and read again",
  );
}

/**
 * The positions of a token in these streams; it is foreign if it counts any other.
 *
 * @throws {TokenError} it is not a token
 */
export function readToken(text: string, streams: readonly Stream[]): { readonly positions: Positions; readonly isForeign: boolean } {
  if (text === "") return { positions: noPositions, isForeign: false };
  const positions = new Map<string, Sequences>();
  const counted = decode(text).positions;
  if (counted.length === 0) throw notAToken();
  let isForeign = false;
  for (const position of counted) {
    const stream = streams.find(({ id }) => id === position.stream);
    if (stream === undefined) {
      isForeign = true;
      continue;
    }
    const sequences = sequencesOf(position, stream);
    if (sequences === undefined || positions.has(stream.id)) {
      throw new TokenError("consistency_token names a position that its stream cannot have; pass tokens on unchanged");
    }
    positions.set(stream.id, sequences);
  }
  return { positions, isForeign };
}

/** Positions as a token holds them; undefined if the stream cannot have them. */
export function sequencesOf({ partitions, sequences }: StreamPosition, stream: Stream): Sequences | undefined {
  if (partitions.length > 0 && partitions.length !== sequences.length) return undefined;
  const found = new Map<number, number>();
  for (const [index, sequence] of sequences.entries()) {
    const partition = partitions[index] ?? index;
    if (partition < 0 || partition >= stream.partitions || found.has(partition)) return undefined;
    if (sequence < 0n || sequence > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
    found.set(partition, Number(sequence));
  }
  return found;
}

/** Positions as a token holds them, in one order, whatever order they came in. */
export function streamPosition(stream: string, sequences: Sequences): MessageInitShape<typeof StreamPositionSchema> {
  const sorted = begunPartitions(sequences);
  const isDense = sorted.every((partition, index) => partition === index);
  return {
    stream,
    partitions: isDense ? [] : [...sorted],
    sequences: sorted.map((partition) => BigInt(sequences.get(partition) ?? 0)),
  };
}

/** The partitions in which a position has begun, ascending. */
function begunPartitions(sequences: Sequences): readonly number[] {
  return [...sequences.keys()].filter((partition) => (sequences.get(partition) ?? 0) > 0).toSorted((a, b) => a - b);
}

function encode(positions: Positions): string {
  const begun = [...positions].filter(([, sequences]) => begunPartitions(sequences).length > 0);
  const sorted = begun.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([stream, sequences]) => streamPosition(stream, sequences));
  return base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions: sorted })), "url");
}

function decode(text: string) {
  try {
    return fromBinary(ConsistencyTokenSchema, base64Decode(text));
  } catch (cause) {
    throw notAToken(cause);
  }
}

function notAToken(cause?: unknown): TokenError {
  return new TokenError("consistency_token is not a token of this service; pass the one from a receipt or an answer unchanged", { cause });
}
