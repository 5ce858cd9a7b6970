import { expect, it } from "vitest";
import { tokenOf } from "./testing/order-server.ts";
import { mergeTokens } from "./token.ts";

it("a merged token has the larger position of each partition", () => {
  const merged = mergeTokens(tokenOf({ 0: 7n, 1: 2n }), tokenOf({ 1: 5n, 2: 1n, 0: 6n }));
  expect(merged).toBe(tokenOf({ 0: 7n, 1: 5n, 2: 1n }));
});

it("no token adds nothing", () => {
  const token = tokenOf({ 0: 7n });
  expect(mergeTokens(token, "")).toBe(token);
  expect(mergeTokens("", token)).toBe(token);
  expect(mergeTokens("", "")).toBe("");
});

it("a token of another log replaces the known one", () => {
  const other = tokenOf({ 0: 1n }, "other-log");
  expect(mergeTokens(tokenOf({ 0: 7n }), other)).toBe(other);
});

it.each(["not a token!", "AAAA", "v2.something"])("a token that cannot be read replaces the known one: %s", (token) => {
  expect(mergeTokens(tokenOf({ 0: 7n }), token)).toBe(token);
});
