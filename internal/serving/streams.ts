/** The queries of a domain that stay open. */

import type { Domain } from "../cqrs/domain.ts";
import type { Freshness } from "../cqrs/query/freshness.ts";
import type { StreamCall, StreamQuery } from "../cqrs/query/stream-query.ts";
import type { Call } from "../grpc/call.ts";
import { unavailable } from "../grpc/errors.ts";
import type { AnyImplementation } from "../grpc/service.ts";
import { boundedWait } from "../grpc/wait.ts";
import { MAX_WAIT_MS, sessionOf, statusErrorOf, untilShown } from "./consistency.ts";

const RETRY_AFTER_SET_BACK_MS = 1_000;

/** Each as the method of its name. They end with their call, and with its reason, or when the documents have gone back. */
export function streamingMethods({ domain, freshness }: { readonly domain: Domain; readonly freshness: Freshness }): AnyImplementation {
  const open = new Set<AbortController>();
  freshness.onSetBack(() => {
    for (const stream of open) stream.abort(setBack());
  });

  const queries = Object.entries(domain.queries.streams({ freshness }));
  return Object.fromEntries(queries.map(([name, query]) => [name, (request: never, call: Call) => answers(query, request, call)]));

  async function* answers(query: StreamQuery<never, unknown>, request: never, call: Call): AsyncGenerator<unknown> {
    const ended = new AbortController();
    const abort = (): void => ended.abort(call.signal.reason);
    call.signal.addEventListener("abort", abort);
    if (call.signal.aborted) abort();
    open.add(ended);
    try {
      await known(call);
      yield* query(request, streamCall(call, ended.signal));
    } catch (error) {
      throw statusErrorOf(error);
    } finally {
      open.delete(ended);
      call.signal.removeEventListener("abort", abort);
    }
    ended.signal.throwIfAborted();
  }

  function streamCall(call: Call, signal: AbortSignal): StreamCall {
    return {
      signal,
      async untilVisible(view, token) {
        using wait = boundedWait(call, MAX_WAIT_MS);
        const { seen } = await sessionOf(freshness, call, token, wait.signal);
        await untilShown(freshness, view, seen, wait.signal);
        return seen;
      },
      async untilShown(view, positions) {
        using wait = boundedWait(call, MAX_WAIT_MS);
        await untilShown(freshness, view, positions, wait.signal);
      },
    };
  }

  async function known(call: Call): Promise<void> {
    using wait = boundedWait(call, MAX_WAIT_MS);
    await freshness.known(wait.signal);
  }
}

function setBack() {
  const message = "the documents have been set back; go on with the last position";
  return unavailable(message, { reason: "DOCUMENTS_SET_BACK" }, RETRY_AFTER_SET_BACK_MS);
}
