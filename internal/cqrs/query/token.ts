/**
 * Consistency tokens: what a reader must have applied, per partition, to show what a writer saw (P4). Opaque to clients.
 *
 * A token counts in partition sequences, not in offsets: see docs/decisions/sequence-instead-of-offset.md.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { ConsistencyTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";

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

/** A token is asked for far more often than positions change: each set of them is encoded once per log. */
const formatted = new WeakMap<Sequences, { readonly logId: string; readonly token: string }>();

/** The token of a position in a log. The sequences must not change afterwards. */
export function formatToken(logId: string, sequences: Sequences): string {
  const known = formatted.get(sequences);
  if (known?.logId === logId) return known.token;
  const token = encode(logId, sequences);
  formatted.set(sequences, { logId, token });
  return token;
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
  const sequences = sequencesOf(token.sequences, log);
  if (sequences !== undefined) return sequences;
  throw new TokenError("consistency_token names a position that this log cannot have; pass tokens on unchanged");
}

/** Positions as a token holds them; undefined if the log cannot have them. */
export function sequencesOf(entries: Readonly<Record<number, bigint>>, log: TokenLog): Sequences | undefined {
  const sequences = new Map<number, number>();
  for (const [key, value] of Object.entries(entries)) {
    const partition = Number(key);
    if (partition < 0 || partition >= log.partitions || value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
    sequences.set(partition, Number(value));
  }
  return sequences;
}

/** Positions as a token holds them, in one order, whatever order they came in. */
export function tokenSequences(sequences: Sequences): Record<number, bigint> {
  const sorted = [...sequences].filter(([, sequence]) => sequence > 0).sort(([a], [b]) => a - b);
  return Object.fromEntries(sorted.map(([partition, sequence]) => [partition, BigInt(sequence)]));
}

/** The later of each position. The first set itself, if the others add nothing to it. */
export function mergeSequences(first: Sequences, ...others: readonly Sequences[]): Sequences {
  let merged: Map<number, number> | undefined;
  for (const sequences of others) {
    for (const [partition, sequence] of sequences) {
      if (sequence <= ((merged ?? first).get(partition) ?? 0)) continue;
      merged ??= new Map(first);
      merged.set(partition, sequence);
    }
  }
  return merged ?? first;
}

function encode(logId: string, sequences: Sequences): string {
  const token = create(ConsistencyTokenSchema, { logId, sequences: tokenSequences(sequences) });
  return base64Encode(toBinary(ConsistencyTokenSchema, token), "url");
}

function decode(text: string) {
  try {
    return fromBinary(ConsistencyTokenSchema, base64Decode(text));
  } catch (cause) {
    throw new TokenError("consistency_token is not a token of this service; pass the one from a receipt or an answer unchanged", { cause });
  }
}
