import { expect, it } from "vitest";
import { murmur2, partitionOf } from "./partition.ts";

// The values of Kafka's own test (UtilsTest.testMurmur2).
const vectors: readonly (readonly [string, number])[] = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
];

for (const [text, hash] of vectors) {
  it(`murmur2 of "${text}" is Kafka's`, () => {
    expect(murmur2(new TextEncoder().encode(text))).toBe(hash);
  });
}

it("a partition is never negative and below the count", () => {
  const seen = new Set(Array.from({ length: 1000 }, (_, index) => partitionOf(`order-${index}`, 8)));
  expect([...seen].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

it("a key of any length and alphabet has the partition of its UTF-8 bytes", () => {
  for (const key of ["", "a", "order-1", "x".repeat(256), "x".repeat(257), "ключ", `${"x".repeat(255)}ü`]) {
    expect(partitionOf(key, 1_000)).toBe((murmur2(new TextEncoder().encode(key)) & 0x7fffffff) % 1_000);
  }
});
