import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { formatPosition, PositionTokenError, parsePosition } from "./position-token.ts";
import { formatToken } from "./token.ts";

const stream = { id: "stream-1", partitions: 4 };
const subscription = { stream, hash: Uint8Array.of(1, 2) };
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
    ["is a consistency token", formatToken(new Map([[stream.id, sequences]]))],
    ["has no position", base64Encode(Uint8Array.of(18, 2, 1, 2), "url")],
    ["names no stream", token({ position: { stream: "", sequences: [1n] } })],
    ["counts another stream", token({ position: { stream: "stream-2", sequences: [1n] } })],
    ["belongs to another subscription", token({ subscription: Uint8Array.of(1, 3) })],
    ["belongs to no subscription", token({ subscription: new Uint8Array() })],
    ["has a partition that the stream has not", token({ position: { stream: stream.id, partitions: [4], sequences: [1n] } })],
    ["has a sequence that no stream has", token({ position: { stream: stream.id, sequences: [2n ** 53n] } })],
  ])("%s", (_what, text) => {
    expect(() => parsePosition(text, subscription)).toThrow(PositionTokenError);
  });
});

function token({
  position = { stream: stream.id, sequences: [1n] },
  subscription: hash = subscription.hash,
}: Omit<MessageInitShape<typeof PositionTokenSchema>, "$typeName">): string {
  return base64Encode(toBinary(PositionTokenSchema, create(PositionTokenSchema, { position, subscription: hash })), "url");
}
