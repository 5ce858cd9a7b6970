import fc from "fast-check";
import { expect, it } from "vitest";
import { balance } from "./balance.ts";

it("nobody moves while the shares are even", () => {
  expect(shares(4, { one: [1, 3], two: [0, 2] })).toEqual({ one: [1, 3], two: [0, 2] });
});

it("a newcomer gets its share, although the others have no more than the largest share may be", () => {
  expect(shares(4, { one: [0, 1], two: [2, 3], three: [] })).toEqual({ one: [0, 1], two: [2], three: [3] });
});

it("those who stay keep what they have when a member leaves", () => {
  expect(shares(4, { one: [0, 1], three: [3] })).toEqual({ one: [0, 1], three: [3, 2] });
});

it("a partition that two claim stays with the first", () => {
  expect(shares(2, { one: [1], two: [1] })).toEqual({ one: [1], two: [0] });
});

it("a partition that is not there is claimed in vain", () => {
  expect(shares(2, { one: [7, 1], two: [] })).toEqual({ one: [1], two: [0] });
});

it("more members than partitions leave some without any", () => {
  expect(shares(1, { one: [], two: [0], three: [] })).toEqual({ one: [], two: [0], three: [] });
});

it("each partition is dealt once, as evenly as can be, and no more of them move than must", () => {
  const claims = fc.array(fc.array(fc.nat(12), { maxLength: 12 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.nat(12), claims, (partitions, claimed) => {
      const dealt = [...balance(partitions, new Map(claimed.entries())).values()];
      const sizes = dealt.map((share) => share.length);
      expect(dealt.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: partitions }, (_, partition) => partition));
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(
        dealt.flatMap((share, member) => share.filter((partition) => claimed[member]?.includes(partition) === true)).length,
      ).toBeGreaterThanOrEqual(fewestKept(partitions, claimed));
    }),
  );
});

function shares(partitions: number, owned: Readonly<Record<string, readonly number[]>>): Record<string, readonly number[]> {
  return Object.fromEntries(balance(partitions, new Map(Object.entries(owned))));
}

/** What the members can keep of their own, when a partition that several claim counts for the first. */
function fewestKept(partitions: number, claimed: readonly (readonly number[])[]): number {
  const taken = new Set<number>();
  const least = Math.floor(partitions / claimed.length);
  const sizes = claimed.map((own) => {
    const fresh = [...new Set(own)].filter((partition) => partition < partitions && !taken.has(partition));
    for (const partition of fresh) taken.add(partition);
    return fresh.length;
  });
  const larger = Math.min(partitions % claimed.length, sizes.filter((size) => size > least).length);
  return sizes.reduce((sum, size) => sum + Math.min(size, least), larger);
}
