import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { type ConsistencyToken, ConsistencyTokenSchema, type StreamPosition } from "./gen/headwater/cqrs/v1/token_pb.ts";

/**
 * A token that covers what both tokens cover. Answers of concurrent calls come in any order, so the newest token alone may know less than the
 * one before it: this takes the larger position of each partition of each stream. If one of them cannot be read (a format of a newer server),
 * the result is the received one.
 */
export function mergeTokens(known: string, received: string): string {
  if (received === "" || received === known) return known;
  if (known === "") return received;
  const [before, after] = [decode(known), decode(received)];
  if (before === undefined || after === undefined) return received;
  const found = [...before.positions, ...after.positions];
  const streams = [...new Set(found.map(({ stream }) => stream))].sort((a, b) => (a < b ? -1 : 1));
  const positions = streams.map((stream) => positionOf(stream, found));
  return base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions })), "url");
}

function positionOf(stream: string, found: readonly StreamPosition[]) {
  const sequences = new Map<number, bigint>();
  for (const position of found.filter((each) => each.stream === stream)) {
    for (const [index, sequence] of position.sequences.entries()) {
      const partition = position.partitions[index] ?? index;
      if (sequence > (sequences.get(partition) ?? 0n)) sequences.set(partition, sequence);
    }
  }
  const sorted = [...sequences].sort(([a], [b]) => a - b);
  // Without the partitions, they are all from the first on.
  const isDense = sorted.every(([partition], index) => partition === index);
  return { stream, partitions: isDense ? [] : sorted.map(([partition]) => partition), sequences: sorted.map(([, sequence]) => sequence) };
}

function decode(token: string): ConsistencyToken | undefined {
  try {
    const decoded = fromBinary(ConsistencyTokenSchema, base64Decode(token));
    return decoded.positions.length === 0 || decoded.$unknown !== undefined ? undefined : decoded;
  } catch {
    return undefined;
  }
}
