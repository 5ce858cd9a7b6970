import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { type ConsistencyToken, ConsistencyTokenSchema } from "./gen/headwater/cqrs/v1/token_pb.ts";

/**
 * A token that covers what both tokens cover. Answers of concurrent calls come in any order, so the newest token alone may know less than the
 * one before it: this takes the larger position of each partition. If the two cannot be compared (another log, or a format of a newer
 * server), the result is the received one.
 */
export function mergeTokens(known: string, received: string): string {
  if (received === "" || received === known) return known;
  if (known === "") return received;
  const before = decode(known);
  const after = decode(received);
  if (before === undefined || after === undefined || before.logId !== after.logId) return received;
  const sequences = { ...before.sequences };
  for (const [partition, sequence] of Object.entries(after.sequences)) {
    const covered = sequences[Number(partition)];
    if (covered === undefined || covered < sequence) sequences[Number(partition)] = sequence;
  }
  const merged = create(ConsistencyTokenSchema, { logId: after.logId, sequences });
  return base64Encode(toBinary(ConsistencyTokenSchema, merged), "url");
}

function decode(token: string): ConsistencyToken | undefined {
  try {
    const decoded = fromBinary(ConsistencyTokenSchema, base64Decode(token));
    return decoded.logId === "" ? undefined : decoded;
  } catch {
    return undefined;
  }
}
