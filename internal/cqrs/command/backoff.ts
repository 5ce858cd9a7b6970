import type { Clock } from "../clock.ts";
import { partitionOf } from "../partition.ts";

/** The first failure is mostly a rebalance, which is over: what follows it without anything committed between waits so long, then twice as long, and so on. */
const FIRST_WAIT_MS = 100;

/** Long enough to harm nobody, short enough that a handler is not thought to be stuck. */
const MAX_WAIT_MS = 5_000;

/** Waits after failures that follow one another. */
export interface Backoff {
  /** Whether something has failed since the last reset. */
  readonly isNeeded: boolean;
  reset(): void;
  /** After another failure. */
  wait(): Promise<void>;
}

/** Instances wait for different lengths of time, between a half of each wait and all of it. */
export function createBackoff({ clock, instance }: { readonly clock: Clock; readonly instance: string }): Backoff {
  let failures = 0;
  return {
    get isNeeded() {
      return failures > 0;
    },
    reset() {
      failures = 0;
    },
    async wait() {
      failures += 1;
      if (failures === 1) return;
      const longestMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 2));
      const waited = Promise.withResolvers<void>();
      clock.after(longestMs * jitter(`${instance}/${failures}`), waited.resolve);
      await waited.promise;
    },
  };
}

/** Between a half and one. */
function jitter(name: string): number {
  return 0.5 + partitionOf(name, 1_000) / 2_000;
}
