/**
 * Documents that several projectors write, such as sums over all partitions: only one of those who write at once succeeds, and the others try
 * again. Which documents these are is remembered for a while, and who has failed waits, longer each time and each as chance has it (P6).
 */

import type { Clock } from "../clock.ts";
import { murmur2 } from "../partition.ts";

/** About as long as a write takes: by then the one that succeeded is to be seen. */
const FIRST_PAUSE_MS = 8;

/** Above this, waiting longer only makes a batch later: a hundred projectors that write one document need about a second for a turn each. */
const LONGEST_PAUSE_MS = 100;

/** Far more than a turn of all takes. */
const GIVE_UP_AFTER_MS = 120_000;

/** A document is no longer contended when so many batches in turn have met no conflict over it. */
const CALM_BATCHES = 16;

/** What is contended, as one projector sees it. */
export interface Contention {
  /** Whether a document has conflicted lately: then it is folded right before it is written, on what is stored by then. */
  has(key: string): boolean;
  /** Begins to write something. */
  begin(): Attempts;
}

/** The attempts to write one batch. */
export interface Attempts {
  /**
   * Notes what has conflicted, by key, and waits before the next attempt.
   *
   * @throws {Error} it has been tried for too long
   */
  failed(keys: Iterable<string>): Promise<void>;
}

/** What waits are made of. */
export interface ContentionOptions {
  readonly clock: Clock;
  /** Tells this projector from the others, so that no two wait alike. */
  readonly instance: string;
}

/** Creates contention over nothing yet. */
export function createContention({ clock, instance }: ContentionOptions): Contention {
  /** By key, the batch with the last conflict. */
  const lastConflicts = new Map<string, number>();
  let batch = 0;
  let pauses = 0;

  return {
    has: (key) => lastConflicts.size > 0 && lastConflicts.has(key),
    begin() {
      batch += 1;
      for (const [key, last] of lastConflicts) if (last < batch - CALM_BATCHES) lastConflicts.delete(key);
      const startedAtMs = clock.now();
      let attempts = 0;
      return {
        async failed(keys) {
          attempts += 1;
          for (const key of keys) lastConflicts.set(key, batch);
          const forMs = clock.now() - startedAtMs;
          if (forMs > GIVE_UP_AFTER_MS) throw restless([...keys], { attempts, forMs });
          const longestMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LONGEST_PAUSE_MS);
          await pause(chance() * longestMs);
        },
      };
    },
  };

  /** From 0 to 1: the same in every run, and another in every instance. */
  function chance(): number {
    pauses += 1;
    return (murmur2(new TextEncoder().encode(`${instance}/${pauses}`)) >>> 0) / 2 ** 32;
  }

  function pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => clock.after(delayMs, resolve));
  }
}

function restless([key]: readonly string[], { attempts, forMs }: { readonly attempts: number; readonly forMs: number }): Error {
  return new Error(
    `the document ${key} was changed before each of ${attempts} attempts to write it in ${Math.round(forMs / 1000)} s: ` +
      "more than the projectors of this system must be writing to it; find out what else does",
  );
}
