import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConsistencyTokenSchema, PageTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import type { SortKey } from "../documents.ts";
import { formatPageToken, maxPageTokenLength, PageTokenError, parsePageToken } from "./page-token.ts";

const list = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);

const sortValue = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.integer(),
  fc.boolean(),
  fc.date({ noInvalidDate: true }),
  fc.maxSafeInteger(),
);

describe("a page token", () => {
  it("gives back the sort key it was made of", () => {
    fc.assert(
      fc.property(fc.array(sortValue, { minLength: 1, maxLength: 4 }), (after) => {
        const token = formatPageToken(list, after);
        expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(parsePageToken(token, list)).toEqual(after);
      }),
    );
  });

  it("is empty where there is no next page, and means the beginning when empty", () => {
    expect(formatPageToken(list, undefined)).toBe("");
    expect(parsePageToken("", list)).toBeUndefined();
  });

  it("belongs to one list", () => {
    const token = formatPageToken(list, ["order-1"]);
    for (const other of [new Uint8Array([1, 2, 3, 4, 5, 6, 7, 9]), new Uint8Array([1, 2, 3]), new Uint8Array()]) {
      expect(() => parsePageToken(token, other)).toThrow("page_token belongs to a list with another filter or order");
    }
  });
});

describe("an absurd page token is refused with a PageTokenError", () => {
  it.each<[string, string]>([
    ["no base64", "%%%"],
    ["white space", " \n"],
    [
      "another kind of token",
      base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions: [{ stream: "stream" }] })), "url"),
    ],
    ["too long", formatPageToken(list, ["x".repeat(maxPageTokenLength)])],
    ["no JSON", forged("{")],
    ["empty JSON", forged("")],
    ["no list", forged('"order-1"')],
    ["no values", forged("[]")],
    ["null", forged("[null]")],
    ["a nested list", forged('[["order-1"]]')],
    ["an object", forged('[{"$gt":""}]')],
    ["a date that is none", forged('[{"date":"2026-01-01"}]')],
    ["a date out of range", forged('[{"date":1e300}]')],
    ["an infinite number", forged("[1e999]")],
    ["deep JSON", forged("[".repeat(2000))],
  ])("%s", (_what, token) => {
    expect(() => parsePageToken(token, list)).toThrow(PageTokenError);
  });

  it("whatever its text is", () => {
    const text = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.string({ minLength: 1, unit: "binary" }),
      fc.base64String({ minLength: 4 }),
      fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => base64Encode(bytes, "url")),
    );
    fc.assert(
      fc.property(text, (token) => {
        expect(() => parsePageToken(token, list)).toThrow(PageTokenError);
      }),
    );
  });

  it("or else it is a sort key, whatever JSON it holds", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (json) => {
        const parsed = outcome(() => parsePageToken(forged(json), list));
        expect(parsed instanceof PageTokenError || isSortKey(parsed)).toBe(true);
      }),
    );
  });

  it("or else it is unharmed, whatever byte of it changes", () => {
    const token = formatPageToken(list, [new Date(0), "order-1"]);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        const parsed = outcome(() => parsePageToken(token.slice(0, at) + character + token.slice(at + 1), list));
        expect(parsed instanceof PageTokenError || isSortKey(parsed)).toBe(true);
      }),
    );
  });
});

/** A token of the right list that holds what a client made up. */
function forged(after: string): string {
  return base64Encode(toBinary(PageTokenSchema, create(PageTokenSchema, { query: list, after })), "url");
}

function outcome(run: () => SortKey | undefined): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

function isSortKey(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((part) => part instanceof Date || typeof part !== "object");
}
