/**
 * Consistency tokens: what a reader must have applied, per partition, to show what a writer saw (P4). Opaque to clients.
 *
 * A token counts in partition sequences, not in offsets: see docs/decisions/sequence-instead-of-offset.md.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { ConsistencyTokenSchema } from "../gen/headwater/cqrs/v1/token_pb.ts";

/** Partition to partition sequence. Partitions that do not matter are absent. */
export type Sequences = ReadonlyMap<number, number>;

/** A token that cannot be honoured, with a message that says what to do. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

/** The log that tokens are checked against. */
export interface TokenLog {
  readonly id: string;
  readonly partitions: number;
}

export function formatToken(logId: string, sequences: Sequences): string {
  const sorted = [...sequences].filter(([, sequence]) => sequence > 0).sort(([a], [b]) => a - b);
  const entries = Object.fromEntries(sorted.map(([partition, sequence]) => [partition, BigInt(sequence)]));
  return base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { logId, sequences: entries })), "url");
}

/**
 * The sequences of a token; none for an empty one.
 *
 * @throws {TokenError} it is not a token, or one of another log
 */
export function parseToken(text: string, log: TokenLog): Sequences {
  if (text === "") return new Map();
  const token = decode(text);
  if (token.logId !== log.id) {
    throw new TokenError("consistency_token belongs to another log (another cluster, or data that was reset); drop it and read again");
  }
  const sequences = new Map<number, number>();
  for (const [key, value] of Object.entries(token.sequences)) {
    const partition = Number(key);
    if (partition < 0 || partition >= log.partitions || value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new TokenError("consistency_token names a position that this log cannot have; pass tokens on unchanged");
    }
    sequences.set(partition, Number(value));
  }
  return sequences;
}

/** The later of each position. */
export function mergeSequences(...all: readonly Sequences[]): Sequences {
  const merged = new Map<number, number>();
  for (const sequences of all) {
    for (const [partition, sequence] of sequences) merged.set(partition, Math.max(sequence, merged.get(partition) ?? 0));
  }
  return merged;
}

function decode(text: string) {
  try {
    return fromBinary(ConsistencyTokenSchema, base64Decode(text));
  } catch (cause) {
    throw new TokenError("consistency_token is not a token of this service; pass the one from a receipt or an answer unchanged", { cause });
  }
}
