import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { PositionTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { beginning, type EventPosition } from "./event-position.ts";
import { formatPosition, PositionTokenError, parsePosition, provePosition } from "./position-token.ts";
import { formatToken } from "./token.ts";

const stream = { id: "stream-1", partitions: 4 };
const subscription = { stream, hash: Uint8Array.of(1, 2) };
const sequences = new Map([
  [3, 7],
  [0, 2 ** 53 - 1],
]);
const delivered: EventPosition = new Map([
  [3, { sequence: 7, mark: 1 }],
  [0, { sequence: 2 ** 53 - 1, mark: 2 ** 32 - 1 }],
]);

/** What a position in every partition may have at most: it travels in headers and addresses. */
const MAX_LENGTH = 2_048;

it("a position comes back as it was, without what is not begun", () => {
  const claimed = parsePosition(formatPosition(subscription, new Map(delivered).set(1, { sequence: 0, mark: 0 })), subscription);
  expect(claimed).toEqual({ sequences, mark: 2 ** 32 - 2, unmarked: [] });
  expect(parsePosition(formatPosition(subscription, beginning), subscription)).toEqual({ sequences: new Map(), mark: 0, unmarked: [] });
});

it("a position is short, also in as many partitions as there may be", () => {
  const all = Array.from({ length: 128 }, (_, partition) => [partition, { sequence: 2 ** 53 - 1, mark: 2 ** 32 - 1 }] as const);
  const wide = { stream: { id: "0123456789abcdefghijkl", partitions: 128 }, hash: new Uint8Array(32) };
  expect(formatPosition(wide, new Map(all)).length).toBeLessThan(MAX_LENGTH);
});

it("a position is proven by the events that are there now", () => {
  const claimed = parsePosition(formatPosition(subscription, delivered), subscription);
  provePosition(claimed, delivered);
  expect(() => provePosition(claimed, new Map(delivered).set(3, { sequence: 7, mark: 2 }))).toThrow(PositionTokenError);
  expect(() => provePosition(claimed, beginning)).toThrow(PositionTokenError);
});

it("an event that was left out of the view proves nothing, whatever becomes of it", () => {
  const partial = new Map(delivered).set(3, { sequence: 7, mark: undefined });
  const claimed = parsePosition(formatPosition(subscription, partial), subscription);
  expect(claimed).toEqual({ sequences, mark: 2 ** 32 - 1, unmarked: [3] });
  provePosition(claimed, partial);
  provePosition(claimed, delivered);
  expect(() => provePosition(claimed, new Map(partial).set(0, { sequence: 1, mark: 5 }))).toThrow(PositionTokenError);
  const alone = parsePosition(formatPosition(subscription, new Map([[3, { sequence: 7, mark: undefined }]])), subscription);
  expect(alone).toEqual({ sequences: new Map([[3, 7]]), mark: 0, unmarked: [3] });
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
    ["was cut off before its last field", token({ mark: 0 })],
    ["has a sequence that no stream has", token({ position: { stream: stream.id, sequences: [2n ** 53n] } })],
  ])("%s", (_what, text) => {
    expect(() => parsePosition(text, subscription)).toThrow(PositionTokenError);
  });
});

function token({
  position = { stream: stream.id, sequences: [1n] },
  subscription: hash = subscription.hash,
  mark = 1,
}: Omit<MessageInitShape<typeof PositionTokenSchema>, "$typeName">): string {
  return base64Encode(toBinary(PositionTokenSchema, create(PositionTokenSchema, { position, subscription: hash, mark })), "url");
}
