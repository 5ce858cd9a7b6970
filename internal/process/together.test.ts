import { expect, it } from "vitest";
import { progressOfAll, runTogether } from "./together.ts";

/** Runs until it is to end, and says so. */
const until = (ended: string[], name: string) => async (signal: AbortSignal) => {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  await Promise.resolve();
  ended.push(name);
};

it("all parts run until the signal aborts", async () => {
  const stop = new AbortController();
  const ended: string[] = [];
  const running = runTogether([until(ended, "a"), until(ended, "b")], stop.signal);
  await Promise.resolve();
  expect(ended).toEqual([]);
  stop.abort();
  await running;
  expect(ended.toSorted()).toEqual(["a", "b"]);
});

it("when a part fails the others end, and then what it has thrown is thrown, whatever they throw meanwhile", async () => {
  const ended: string[] = [];
  const first = new Error("the first");
  const endsWithAnother = async (signal: AbortSignal) => {
    await until(ended, "b")(signal);
    throw new Error("another");
  };
  const running = runTogether([() => Promise.reject(first), until(ended, "a"), endsWithAnother], new AbortController().signal);
  await expect(running).rejects.toBe(first);
  expect(ended.toSorted()).toEqual(["a", "b"]);
});

it("progress is told when each part has made some since it was told last", () => {
  let told = 0;
  const progressed = progressOfAll(2, () => (told += 1));
  for (const part of ["a", "a"]) progressed(part);
  expect(told).toBe(0);
  progressed("b");
  expect(told).toBe(1);
  for (const part of ["b", "b"]) progressed(part);
  expect(told).toBe(1);
  progressed("a");
  expect(told).toBe(2);
});
