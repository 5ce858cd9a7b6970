import { expect, it } from "vitest";
import { createProgress } from "./progress.ts";

const forever = new AbortController().signal;

it("a position that was reached is not waited for", async () => {
  const progress = createProgress();
  progress.advance("orders", 0, 5);
  expect(await progress.reached(["orders"], 0, 5, forever)).toEqual([]);
  expect(await progress.reached(["orders"], 0, 6, AbortSignal.abort())).toEqual(["orders"]);
  expect(await progress.reached([], 0, 6, AbortSignal.abort())).toEqual([]);
});

it("position 0 is reached by every view", async () => {
  expect(await createProgress().reached(["orders"], 0, 0, AbortSignal.abort())).toEqual([]);
});

it("waiting ends when all views have reached the position", async () => {
  const progress = createProgress();
  let over = false;
  const reached = progress.reached(["orders", "sales"], 1, 3, forever).finally(() => (over = true));
  progress.advance("orders", 1, 3);
  progress.advance("sales", 0, 9);
  progress.advance("sales", 1, 2);
  await Promise.resolve();
  expect(over).toBe(false);
  progress.advance("sales", 1, 4);
  expect(await reached).toEqual([]);
});

it("who stops waiting learns which views are behind", async () => {
  const progress = createProgress();
  const stop = new AbortController();
  const reached = progress.reached(["orders", "sales"], 0, 3, stop.signal);
  progress.advance("orders", 0, 3);
  stop.abort();
  expect(await reached).toEqual(["sales"]);
});

it("positions never go back", () => {
  const progress = createProgress();
  progress.advance("orders", 0, 5);
  progress.advance("orders", 0, 4);
  expect(progress.sequence("orders", 0)).toBe(5);
  expect(progress.sequence("orders", 1)).toBe(0);
});

it("many who wait for many positions are woken once each, in any order", async () => {
  const progress = createProgress();
  const reached = Array.from({ length: 100 }, (_, index) => progress.reached(["orders"], 0, index + 1, forever));
  progress.advance("orders", 0, 50);
  expect(await Promise.all(reached.slice(0, 50))).toEqual(Array.from({ length: 50 }, () => []));
  progress.advance("orders", 0, 100);
  expect(await Promise.all(reached)).toHaveLength(100);
});
