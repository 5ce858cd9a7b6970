import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ConsistencyTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import { formatToken, mergeSequences, parseToken, TokenError } from "./token.ts";

const log = { id: "log-1", partitions: 8 };

const sequences = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })))
  .map((entries) => new Map(entries));

it("a token holds the positions that it was made of", () => {
  fc.assert(
    fc.property(sequences, (positions) => {
      expect(parseToken(formatToken(log.id, positions), log)).toEqual(positions);
    }),
  );
});

it("equal positions make equal tokens, and those at the start are left out", () => {
  const token = formatToken(
    log.id,
    new Map([
      [1, 5],
      [0, 3],
      [2, 0],
    ]),
  );
  expect(token).toBe(
    formatToken(
      log.id,
      new Map([
        [0, 3],
        [1, 5],
      ]),
    ),
  );
  expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
});

it("no token asks for nothing", () => {
  expect(parseToken("", log)).toEqual(new Map());
});

it("a token of another log is refused", () => {
  expect(() => parseToken(formatToken("log-2", new Map([[0, 1]])), log)).toThrow("another log");
});

it.each([
  ["a partition that is not there", { 8: 1n }],
  ["a negative partition", { [-1]: 1n }],
  ["a negative sequence", { 0: -1n }],
  ["a sequence that no number holds exactly", { 0: 2n ** 53n }],
])("a token with %s is refused", (_, positions) => {
  const token = create(ConsistencyTokenSchema, { logId: log.id, sequences: positions });
  expect(() => parseToken(base64Encode(toBinary(ConsistencyTokenSchema, token), "url"), log)).toThrow(TokenError);
});

it("any other text is refused as such, and never breaks anything", () => {
  const text = fc.oneof(fc.string({ minLength: 1 }), fc.string({ minLength: 1, unit: "binary" }), fc.base64String({ minLength: 1 }));
  const bytes = fc.uint8Array({ minLength: 1 }).map((value) => base64Encode(value, "url"));
  fc.assert(
    fc.property(fc.oneof(text, bytes), (garbage) => {
      expect(() => parseToken(garbage, log)).toThrow(TokenError);
    }),
  );
});

it("a token that was cut or changed gives valid positions or a token error", () => {
  const mutation = fc.tuple(sequences, fc.nat(), fc.constantFrom("", "A", "_", "=", "!", "é"));
  fc.assert(
    fc.property(mutation, ([positions, place, replacement]) => {
      const token = formatToken(log.id, positions);
      const index = place % token.length;
      const changed = token.slice(0, index) + replacement + token.slice(index + 1);
      const refused = refusal(changed);
      expect(refused === undefined || refused instanceof TokenError).toBe(true);
    }),
  );
});

it("merging keeps the later of each position", () => {
  fc.assert(
    fc.property(sequences, sequences, (a, b) => {
      const merged = mergeSequences(a, b);
      expect(merged).toEqual(mergeSequences(b, a));
      for (const partition of [...a.keys(), ...b.keys()]) {
        expect(merged.get(partition)).toBe(Math.max(a.get(partition) ?? 0, b.get(partition) ?? 0));
      }
    }),
  );
});

function refusal(token: string): unknown {
  try {
    parseToken(token, log);
    return undefined;
  } catch (error) {
    return error;
  }
}
