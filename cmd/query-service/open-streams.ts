import type { Call } from "../../internal/grpc/call.ts";
import { resourceExhausted, unavailable } from "../../internal/grpc/errors.ts";

/** Streams stay open for hours. Below what a server has under way in all, so that watchers cannot crowd out those who just ask. */
const MAX_OPEN_STREAMS = 4_000;

/** Another server answers at once; this one, if it is the only one, is back within seconds. */
const RETRY_AFTER_STOP_MS = 1_000;
const RETRY_WHEN_FULL_MS = 1_000;

/** The streams that a server has open until they are cancelled. */
export interface OpenStreams {
  /** Admits a stream. Its signal aborts with its call or with the server; then the stream ends with the signal's reason. */
  open(call: Call): OpenStream;
  /** Ends all streams, so that their clients go on elsewhere, and admits no more. */
  endAll(): void;
}

export interface OpenStream extends Disposable {
  readonly signal: AbortSignal;
}

export function createOpenStreams(maxStreams = MAX_OPEN_STREAMS): OpenStreams {
  const streams = new Set<AbortController>();
  let isStopping = false;

  return {
    open(call) {
      if (isStopping) throw stopping();
      if (streams.size >= maxStreams) {
        throw resourceExhausted("too many streams are open; try another server", { reason: "TOO_MANY_STREAMS" }, RETRY_WHEN_FULL_MS);
      }
      const ended = new AbortController();
      const abort = (): void => ended.abort(call.signal.reason);
      call.signal.addEventListener("abort", abort);
      if (call.signal.aborted) abort();
      streams.add(ended);
      return {
        signal: ended.signal,
        [Symbol.dispose]() {
          call.signal.removeEventListener("abort", abort);
          streams.delete(ended);
        },
      };
    },
    endAll() {
      isStopping = true;
      for (const stream of streams) stream.abort(stopping());
    },
  };
}

function stopping() {
  return unavailable("the server is stopping; go on with the last position", { reason: "SERVER_STOPPING" }, RETRY_AFTER_STOP_MS);
}
