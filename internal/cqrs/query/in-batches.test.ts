import { expect, it } from "vitest";
import { inBatches } from "./in-batches.ts";

const mib = 1024 * 1024;

it.each<[what: string, sizes: readonly number[], batches: readonly (readonly number[])[]]>([
  ["nothing makes no batch", [], []],
  ["what fits into one is one", [1, mib - 1], [[1, mib - 1]]],
  ["what does not fit goes into the next", [mib, 1, mib], [[mib], [1], [mib]]],
  ["what is too large is alone", [1, 2 * mib, 2], [[1], [2 * mib], [2]]],
])("%s", (_what, sizes, batches) => {
  expect(inBatches(sizes, (size) => size)).toEqual(batches);
});
