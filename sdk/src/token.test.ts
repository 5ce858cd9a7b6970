import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import { ConsistencyTokenSchema } from "./gen/headwater/cqrs/v1/token_pb.ts";
import { tokenOf } from "./testing/order-server.ts";
import { mergeTokens } from "./token.ts";

it("a merged token has the larger position of each partition", () => {
  const merged = mergeTokens(tokenOf({ 0: 7n, 1: 2n }), tokenOf({ 1: 5n, 2: 1n, 0: 6n }));
  expect(positionsIn(merged)).toMatchObject([{ stream: "test-stream", partitions: [], sequences: [7n, 5n, 1n] }]);
  expect(mergeTokens(merged, tokenOf({ 1: 4n }))).toBe(merged);
});

it("partitions are told where not all from the first on have a position", () => {
  expect(positionsIn(mergeTokens(tokenOf({ 3: 7n }), tokenOf({ 1: 5n })))).toMatchObject([{ partitions: [1, 3], sequences: [5n, 7n] }]);
});

it("no token adds nothing", () => {
  const token = tokenOf({ 0: 7n });
  expect(mergeTokens(token, "")).toBe(token);
  expect(mergeTokens("", token)).toBe(token);
  expect(mergeTokens("", "")).toBe("");
});

it("positions of several streams stand beside each other", () => {
  const both = mergeTokens(tokenOf({ 0: 7n }), tokenOf({ 0: 1n }, "other-stream"));
  expect(positionsIn(both)).toMatchObject([
    { stream: "other-stream", sequences: [1n] },
    { stream: "test-stream", sequences: [7n] },
  ]);
  expect(mergeTokens(both, tokenOf({ 0: 3n }))).toBe(both);
});

it.each(["not a token!", "AAAA", "v2.something"])("a token that cannot be read replaces the known one: %s", (token) => {
  expect(mergeTokens(tokenOf({ 0: 7n }), token)).toBe(token);
});

it("a token with more in it than this client knows replaces the known one", () => {
  const newer = toBinary(
    ConsistencyTokenSchema,
    create(ConsistencyTokenSchema, { positions: [{ stream: "test-stream", sequences: [9n] }] }),
  );
  const token = base64Encode(Uint8Array.from([...newer, 0x78, 1]), "url");
  expect(mergeTokens(tokenOf({ 0: 7n }), token)).toBe(token);
});

function positionsIn(token: string) {
  return fromBinary(ConsistencyTokenSchema, base64Decode(token)).positions;
}
