import { setTimeout as delay } from "node:timers/promises";

const PAUSE_MS = 200;

/** How long something is tried that is to be answered in the end. */
const DEADLINE_MS = 10 * 60_000;

/** All of them, so many at a time. */
export async function inTurns<Item>(items: readonly Item[], atOnce: number, act: (item: Item) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await act(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Tries until it succeeds, as clients do. @throws what it said last, when time is up */
export async function untilAnswered<Result>(call: () => Promise<Result>): Promise<Result> {
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(PAUSE_MS);
    }
  }
}
