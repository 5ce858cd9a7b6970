import { Code, ConnectError } from "@connectrpc/connect";
import { isRetryable, retryDelayMs } from "./errors.ts";

/** How long a call may take in all, with its retries. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** An answer that takes longer than this has probably been lost, and asking again finds it. */
export const DEFAULT_ATTEMPT_TIMEOUT_MS = 10_000;

/** Short enough not to be noticed when a server is replaced by another one. */
const FIRST_BACKOFF_MS = 50;

/** Long enough not to burden a server that comes up again. */
const MAX_BACKOFF_MS = 2_000;

/** What gRPC's header for a timeout can say in milliseconds, about a day, and less than timers take. */
export const MAX_WAIT_MS = 99_999_999;

/** What to retry, and how long. */
export interface RetryOptions {
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Makes attempts until one succeeds, fails for good, or there is no time for another; throws the last error. */
export async function retrying<Answer>(options: RetryOptions, attempt: (timeoutMs: number) => Promise<Answer>): Promise<Answer> {
  const deadline = performance.now() + options.timeoutMs;
  for (let failures = 0; ; failures++) {
    try {
      // gRPC's header for it takes whole milliseconds only.
      return await attempt(Math.max(1, Math.ceil(Math.min(options.attemptTimeoutMs, deadline - performance.now(), MAX_WAIT_MS))));
    } catch (reason) {
      const error = ConnectError.from(reason);
      const waitMs = backoffMs(failures, error);
      if (options.signal?.aborted || !isRetryable(error) || performance.now() + waitMs >= deadline) throw error;
      await delay(waitMs, options.signal);
    }
  }
}

/** How long to wait after a number of failures before this one: a random part of a doubling span, and at least what the server asks for. */
export function backoffMs(failures: number, error?: ConnectError): number {
  const spanMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
  const askedMs = (error && retryDelayMs(error)) ?? 0;
  return Math.min(askedMs, MAX_WAIT_MS) + spanMs * (0.5 + Math.random() / 2);
}

/** Waits; rejects with a canceled ConnectError if the signal aborts first. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    const onAbort = () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal?.reason, Code.Canceled));
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
