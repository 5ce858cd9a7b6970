import type { Call } from "./call.ts";

/** An answer that says "not yet" needs this much of the caller's time to reach him before he gives up. */
const MARGIN_MS = 100;
/** Of a short deadline, this much is left for the way back. */
const MARGIN_SHARE = 0.2;

/** A bounded wait within a call: its signal aborts early enough for an answer to arrive before the caller's deadline. */
export interface BoundedWait extends Disposable {
  readonly signal: AbortSignal;
}

/** Begins a wait that ends with the call, shortly before its deadline, or after `maxMs`. */
export function boundedWait(call: Call, maxMs: number): BoundedWait {
  const wait = new AbortController();
  const remainingMs = call.deadlineMs === undefined ? Number.POSITIVE_INFINITY : call.deadlineMs - Date.now();
  const boundMs = Math.min(maxMs, remainingMs - Math.min(MARGIN_MS, remainingMs * MARGIN_SHARE));
  const timer = setTimeout(() => wait.abort(), Math.max(0, boundMs));
  const abort = (): void => wait.abort();
  call.signal.addEventListener("abort", abort);
  return {
    signal: wait.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      call.signal.removeEventListener("abort", abort);
    },
  };
}
