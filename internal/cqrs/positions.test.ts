import fc from "fast-check";
import { expect, it } from "vitest";
import { covers, mergePositions, noPositions, type Positions, positionsOf } from "./positions.ts";
import { anyPositions } from "./testing/positions.ts";

it("merging keeps the later of each position, in each stream", () => {
  fc.assert(
    fc.property(anyPositions, anyPositions, (a, b) => {
      const merged = mergePositions(a, b);
      expect(merged).toEqual(mergePositions(b, a));
      for (const [stream, partition] of [...placesIn(a), ...placesIn(b)]) {
        expect(at(merged, stream, partition)).toBe(Math.max(at(a, stream, partition), at(b, stream, partition)));
      }
    }),
  );
});

it("positions that add nothing give back the first ones themselves", () => {
  fc.assert(
    fc.property(anyPositions, anyPositions, (a, b) => {
      const merged = mergePositions(a, b);
      expect(mergePositions(merged, a, noPositions, b)).toBe(merged);
    }),
  );
});

it("positions cover others if they are no less in any place", () => {
  fc.assert(
    fc.property(anyPositions, anyPositions, (a, b) => {
      expect(covers(a, b)).toBe(placesIn(b).every(([stream, partition]) => at(a, stream, partition) >= at(b, stream, partition)));
      expect(covers(mergePositions(a, b), b)).toBe(true);
    }),
  );
});

it("what a document has applied is a position", () => {
  expect(positionsOf({ a: { 0: 3, 12: 4 }, b: {} })).toEqual(
    new Map([
      [
        "a",
        new Map([
          [0, 3],
          [12, 4],
        ]),
      ],
      ["b", new Map()],
    ]),
  );
});

function placesIn(positions: Positions): readonly (readonly [string, number])[] {
  return [...positions].flatMap(([stream, sequences]) => [...sequences.keys()].map((partition) => [stream, partition] as const));
}

function at(positions: Positions, stream: string, partition: number): number {
  return positions.get(stream)?.get(partition) ?? 0;
}
