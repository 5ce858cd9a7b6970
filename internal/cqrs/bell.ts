import { untilAborted } from "./until-aborted.ts";

/** Wakes one who waits. Rings while he does not wait are not lost, but count as one. */
export interface Bell {
  ring(): void;
  /** Waits for a ring since the last wait, or for the signal. */
  rung(signal: AbortSignal): Promise<void>;
}

/** Creates a bell that has not rung. */
export function createBell(): Bell {
  let next = Promise.withResolvers<void>();
  return {
    ring: () => next.resolve(),
    async rung(signal) {
      await untilAborted(next.promise, signal);
      next = Promise.withResolvers();
    },
  };
}
