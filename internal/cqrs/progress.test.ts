import { expect, it } from "vitest";
import type { StreamPlace } from "./positions.ts";
import { createProgress } from "./progress.ts";

const forever = new AbortController().signal;

function at(partition: number, sequence: number): StreamPlace {
  return { stream: "stream", partition, sequence };
}

it("a position that was reached is not waited for", async () => {
  const progress = createProgress();
  progress.note("orders", at(0, 5));
  expect(await progress.reached(["orders"], at(0, 5), forever)).toEqual([]);
  expect(await progress.reached(["orders"], at(0, 6), AbortSignal.abort())).toEqual(["orders"]);
  expect(await progress.reached([], at(0, 6), AbortSignal.abort())).toEqual([]);
});

it("position 0 is reached by every view", async () => {
  expect(await createProgress().reached(["orders"], at(0, 0), AbortSignal.abort())).toEqual([]);
});

it("waiting ends when all views have reached the position", async () => {
  const progress = createProgress();
  let over = false;
  const reached = progress.reached(["orders", "sales"], at(1, 3), forever).finally(() => (over = true));
  progress.note("orders", at(1, 3));
  progress.note("sales", at(0, 9));
  progress.note("sales", at(1, 2));
  await Promise.resolve();
  expect(over).toBe(false);
  progress.note("sales", at(1, 4));
  expect(await reached).toEqual([]);
});

it("who stops waiting learns which views are behind", async () => {
  const progress = createProgress();
  const stop = new AbortController();
  const reached = progress.reached(["orders", "sales"], at(0, 3), stop.signal);
  progress.note("orders", at(0, 3));
  stop.abort();
  expect(await reached).toEqual(["sales"]);
});

it("a position that a view has no more is waited for again, and wakes nobody", async () => {
  const progress = createProgress();
  progress.note("orders", at(0, 5));
  const waiting = progress.reached(["orders"], at(0, 6), forever);
  progress.note("orders", at(0, 4));
  expect(await progress.reached(["orders"], at(0, 5), AbortSignal.abort())).toEqual(["orders"]);
  expect(await progress.reached(["orders"], at(0, 4), AbortSignal.abort())).toEqual([]);
  progress.note("orders", at(0, 6));
  expect(await waiting).toEqual([]);
});

it("positions of different streams have nothing to do with each other", async () => {
  const progress = createProgress();
  progress.note("orders", { ...at(0, 5), stream: "another" });
  expect(await progress.reached(["orders"], at(0, 5), AbortSignal.abort())).toEqual(["orders"]);
});

it("many who wait for many positions are woken once each, in any order", async () => {
  const progress = createProgress();
  const reached = Array.from({ length: 100 }, (_, index) => progress.reached(["orders"], at(0, index + 1), forever));
  progress.note("orders", at(0, 50));
  expect(await Promise.all(reached.slice(0, 50))).toEqual(Array.from({ length: 50 }, () => []));
  progress.note("orders", at(0, 100));
  expect(await Promise.all(reached)).toHaveLength(100);
});
