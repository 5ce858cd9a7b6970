/** An app that works without being called, until it is disposed of or fails. */
export interface BackgroundApp extends AsyncDisposable {
  /** Settles when it has stopped; rejects if it failed. */
  readonly stopped: Promise<void>;
}

/** Runs a task that ends when its signal aborts. */
export function startBackground(run: (signal: AbortSignal) => Promise<void>): BackgroundApp {
  const stop = new AbortController();
  const stopped = run(stop.signal);
  // Whoever started it watches `stopped`; until then a failure is not unhandled.
  stopped.catch(() => undefined);
  return {
    stopped,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await stopped;
    },
  };
}
