/** Positions of views, and those who wait for them: how callers wait for views without polling (P4). */

import type { StreamPlace } from "./positions.ts";

/** Positions of views, per stream and partition. */
export interface Progress {
  /** Notes up to where a view is complete in a partition, which may be less than before: a view may be built again. */
  note(view: string, place: StreamPlace): void;
  /** Forgets what was noted; who waits, waits on. */
  clear(): void;
  /** Waits until the views have reached a place or the signal aborts; resolves with the views that have not. */
  reached(views: readonly string[], place: StreamPlace, signal: AbortSignal): Promise<readonly string[]>;
}

interface Waiting {
  readonly sequence: number;
  readonly wake: () => void;
}

/** Creates progress that knows of nothing yet. */
export function createProgress(): Progress {
  const sequences = new Map<string, number>();
  const waiting = new Map<string, Set<Waiting>>();

  return {
    note(view, { sequence, ...where }) {
      const place = placeOf(view, where);
      sequences.set(place, sequence);
      for (const waiter of waiting.get(place) ?? []) if (waiter.sequence <= sequence) waiter.wake();
    },
    clear: () => sequences.clear(),
    async reached(views, { sequence, ...where }, signal) {
      const reached = await Promise.all(views.map((view) => wait(placeOf(view, where), sequence, signal)));
      return views.filter((_, index) => !reached[index]);
    },
  };

  async function wait(place: string, sequence: number, signal: AbortSignal): Promise<boolean> {
    if ((sequences.get(place) ?? 0) >= sequence) return true;
    if (signal.aborted) return false;
    return new Promise<boolean>((resolve) => {
      const waiters = waiting.get(place) ?? new Set();
      waiting.set(place, waiters);
      const settle = (reached: boolean): void => {
        signal.removeEventListener("abort", giveUp);
        waiters.delete(waiter);
        if (waiters.size === 0 && waiting.get(place) === waiters) waiting.delete(place);
        resolve(reached);
      };
      const giveUp = (): void => settle(false);
      const waiter: Waiting = { sequence, wake: () => settle(true) };
      waiters.add(waiter);
      signal.addEventListener("abort", giveUp);
    });
  }
}

function placeOf(view: string, { stream, partition }: Omit<StreamPlace, "sequence">): string {
  return `${partition}/${stream}/${view}`;
}
