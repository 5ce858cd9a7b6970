import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { formatPosition, PositionTokenError, parsePosition } from "./position-token.ts";
import { formatToken } from "./token.ts";

const log = { id: "log-1", partitions: 4 };
const subscription = { log, hash: Uint8Array.of(1, 2) };
const sequences = new Map([
  [3, 7],
  [0, 2 ** 53 - 1],
]);

it("a position comes back as it was, without what is not begun", () => {
  expect(parsePosition(formatPosition(subscription, new Map(sequences).set(1, 0)), subscription)).toEqual(sequences);
  expect(parsePosition(formatPosition(subscription, new Map()), subscription)).toEqual(new Map());
});

describe("a position is refused that", () => {
  it.each<[what: string, text: string]>([
    ["is no base64", "a position"],
    ["is no message", "////"],
    ["is a consistency token", formatToken(log.id, sequences)],
    ["names no log", token({ logId: "" })],
    ["belongs to another log", token({ logId: "log-2" })],
    ["belongs to another subscription", token({ subscription: Uint8Array.of(1, 3) })],
    ["belongs to no subscription", token({ subscription: new Uint8Array() })],
    ["has a partition that the log has not", token({ sequences: { 4: 1n } })],
    ["has a negative partition", token({ sequences: { [-1]: 1n } })],
    ["has a negative sequence", token({ sequences: { 0: -1n } })],
    ["has a sequence that no log has", token({ sequences: { 0: 2n ** 53n } })],
  ])("%s", (_what, text) => {
    expect(() => parsePosition(text, subscription)).toThrow(PositionTokenError);
  });
});

function token(fields: { logId?: string; subscription?: Uint8Array<ArrayBuffer>; sequences?: Record<number, bigint> }): string {
  const whole = { logId: log.id, subscription: subscription.hash, sequences: { 0: 1n }, ...fields };
  return base64Encode(toBinary(PositionTokenSchema, create(PositionTokenSchema, whole)), "url");
}
