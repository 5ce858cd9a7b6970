import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ConsistencyTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { anyPositions, streams } from "../testing/positions.ts";
import { formatToken, OtherStreamError, parseToken, TokenError } from "./token.ts";

const [stream, other] = streams;

/** What a token with a position in every partition may have at most: it travels in headers and addresses. */
const MAX_LENGTH = 2_048;

it("a token holds the positions that it was made of, in any number of streams", () => {
  fc.assert(
    fc.property(anyPositions, (positions) => {
      expect(parseToken(formatToken(positions), streams)).toEqual(positions);
    }),
  );
});

it("equal positions make equal tokens, and those at the start are left out", () => {
  const one = new Map([
    [other.id, new Map([[7, 1]])],
    [
      stream.id,
      new Map([
        [1, 5],
        [0, 3],
        [2, 0],
      ]),
    ],
  ]);
  const another = new Map([
    [
      stream.id,
      new Map([
        [0, 3],
        [1, 5],
      ]),
    ],
    [other.id, new Map([[7, 1]])],
  ]);
  expect(formatToken(one)).toBe(formatToken(another));
  expect(formatToken(one)).toMatch(/^[A-Za-z0-9_-]+$/);
});

it("no token asks for nothing, and of no position there is none", () => {
  expect(parseToken("", streams)).toEqual(new Map());
  expect(formatToken(new Map())).toBe("");
  expect(formatToken(new Map([[stream.id, new Map([[1, 0]])]]))).toBe("");
});

it("a token of another stream is refused, whatever else it counts", () => {
  const foreign = new Map([["stream-3", new Map([[0, 1]])]]);
  expect(() => parseToken(formatToken(foreign), streams)).toThrow(OtherStreamError);
  expect(() => parseToken(formatToken(new Map([...foreign, [stream.id, new Map([[0, 1]])]])), streams)).toThrow("drop it and read again");
});

it("with 128 partitions it is short, also if one of them is missing, and a second stream fits into what requests take", () => {
  const id = "12345678-1234-1234-1234-123456789012";
  const all = new Map(Array.from({ length: 128 }, (_, partition) => [partition, Number.MAX_SAFE_INTEGER]));
  const but = new Map([...all].slice(1));
  for (const sequences of [all, but]) expect(formatToken(new Map([[id, sequences]])).length).toBeLessThanOrEqual(MAX_LENGTH);
  const both = formatToken(
    new Map([
      [id, all],
      [`${id}2`, all],
    ]),
  );
  expect(both.length).toBeLessThanOrEqual(4_096);
});

it.each([
  ["a partition that is not there", { partitions: [8], sequences: [1n] }],
  ["more partitions than there are", { partitions: [], sequences: Array.from({ length: 9 }, () => 1n) }],
  ["a negative partition", { partitions: [-1], sequences: [1n] }],
  ["a partition twice", { partitions: [1, 1], sequences: [1n, 2n] }],
  ["a partition without a sequence", { partitions: [1, 2], sequences: [1n] }],
  ["a negative sequence", { partitions: [], sequences: [-1n] }],
  ["a sequence that no number holds exactly", { partitions: [], sequences: [2n ** 53n] }],
])("a token with %s is refused", (_, position) => {
  expect(() => parseToken(forged([{ stream: stream.id, ...position }]), streams)).toThrow(TokenError);
});

it("a token with a stream twice is refused, and one with none", () => {
  const position = { stream: stream.id, sequences: [1n] };
  expect(() => parseToken(forged([position, position]), streams)).toThrow(TokenError);
  expect(() => parseToken("KgA", streams)).toThrow(TokenError);
});

it("any other text is refused as such, and never breaks anything", () => {
  const text = fc.oneof(fc.string({ minLength: 1 }), fc.string({ minLength: 1, unit: "binary" }), fc.base64String({ minLength: 1 }));
  const bytes = fc.uint8Array({ minLength: 1 }).map((value) => base64Encode(value, "url"));
  fc.assert(
    fc.property(fc.oneof(text, bytes), (garbage) => {
      expect(() => parseToken(garbage, streams)).toThrow(TokenError);
    }),
  );
});

it("a token that was cut or changed gives valid positions or a token error", () => {
  const mutation = fc.tuple(anyPositions, fc.nat(), fc.constantFrom("", "A", "_", "=", "!", "é"));
  fc.assert(
    fc.property(mutation, ([positions, place, replacement]) => {
      const token = formatToken(positions);
      const index = place % token.length;
      const changed = token.slice(0, index) + replacement + token.slice(index + 1);
      const refused = refusal(changed);
      expect(refused === undefined || refused instanceof TokenError).toBe(true);
    }),
  );
});

function forged(positions: readonly { stream: string; partitions?: number[]; sequences: bigint[] }[]): string {
  return base64Encode(toBinary(ConsistencyTokenSchema, create(ConsistencyTokenSchema, { positions: [...positions] })), "url");
}

function refusal(token: string): unknown {
  try {
    parseToken(token, streams);
    return undefined;
  } catch (error) {
    return error;
  }
}
