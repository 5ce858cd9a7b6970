/** Work that belongs together: when one part fails, the others end too. */

/** Runs all parts until the signal aborts. @throws what the first part that failed has thrown, when all have ended */
export async function runTogether(parts: readonly ((signal: AbortSignal) => Promise<void>)[], signal: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const running = parts.map((run) =>
    run(either).catch((error: unknown) => {
      failed.abort();
      throw error;
    }),
  );
  try {
    await Promise.all(running);
  } finally {
    await Promise.allSettled(running);
  }
}

/** Tells of progress when each of so many parts has made some since it was told last. */
export function progressOfAll(parts: number, onProgress: (() => void) | undefined): (part: string) => void {
  const progressed = new Set<string>();
  return (part) => {
    progressed.add(part);
    if (progressed.size < parts) return;
    progressed.clear();
    onProgress?.();
  };
}
