import { expect, it, vi } from "vitest";
import { untilAborted } from "./until-aborted.ts";

it("a promise that settles before the signal aborts is passed on", async () => {
  const { signal } = new AbortController();
  expect(await untilAborted(Promise.resolve("value"), signal)).toBe("value");
  await expect(untilAborted(Promise.reject(new Error("failed")), signal)).rejects.toThrow("failed");
});

it("a signal that aborts ends the wait", async () => {
  const controller = new AbortController();
  const waiting = untilAborted(new Promise(() => undefined), controller.signal);
  controller.abort();
  expect(await waiting).toBeUndefined();
});

it("a signal that has aborted wins over a promise that has resolved", async () => {
  expect(await untilAborted(Promise.resolve("value"), AbortSignal.abort())).toBeUndefined();
});

it("a promise that rejects after the abort is nobody's unhandled rejection", async () => {
  const unhandled = vi.fn<(error: unknown) => void>();
  process.on("unhandledRejection", unhandled);
  try {
    const controller = new AbortController();
    const late = [Promise.withResolvers<never>(), Promise.withResolvers<never>()] as const;
    const waiting = untilAborted(late[0].promise, controller.signal);
    controller.abort();
    expect([await waiting, await untilAborted(late[1].promise, controller.signal)]).toEqual([undefined, undefined]);
    for (const { reject } of late) reject(new Error("too late"));
    // Node reports unhandled rejections before it turns to immediates.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", unhandled);
  }
  expect(unhandled).not.toHaveBeenCalled();
});

it("a signal that outlives many promises keeps nothing of them", async () => {
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  for (let count = 0; count < 3; count += 1) await untilAborted(Promise.resolve(count), signal);
  await untilAborted(Promise.reject(new Error("failed")), signal).catch(() => undefined);
  expect(added).toHaveBeenCalledTimes(4);
  expect(removed.mock.calls).toEqual(added.mock.calls);
});
