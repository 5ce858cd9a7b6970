/** Positions that only rise, and those who wait for them: how callers wait for views without polling (P4). */

/** Positions of views, per partition. */
export interface Progress {
  /** Notes that a view is complete up to a partition sequence. Going back is ignored. */
  advance(view: string, partition: number, sequence: number): void;
  /** The partition sequence up to which a view is known to be complete. */
  sequence(view: string, partition: number): number;
  /** Waits until the views have reached a position or the signal aborts; resolves with the views that have not. */
  reached(views: readonly string[], partition: number, sequence: number, signal: AbortSignal): Promise<readonly string[]>;
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
    advance(view, partition, sequence) {
      const place = placeOf(view, partition);
      if (sequence <= (sequences.get(place) ?? 0)) return;
      sequences.set(place, sequence);
      for (const waiter of waiting.get(place) ?? []) if (waiter.sequence <= sequence) waiter.wake();
    },
    sequence: (view, partition) => sequences.get(placeOf(view, partition)) ?? 0,
    async reached(views, partition, sequence, signal) {
      const reached = await Promise.all(views.map((view) => wait(placeOf(view, partition), sequence, signal)));
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

function placeOf(view: string, partition: number): string {
  return `${partition}/${view}`;
}
