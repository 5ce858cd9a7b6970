/** The W3C trace context of a call, carried with its command and its events, so that whoever sent the command finds them in his traces. */

/** The headers `traceparent` and, if there is one, `tracestate`. */
export type TraceHeaders = Readonly<Record<string, string>>;

/** Version, trace id, parent id, flags. Version ff and ids of nothing but zeros are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A key, that of a tenant or a simple one, and a value that does not end with a space. */
const TRACESTATE_MEMBER =
  /^(?:[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;
const MAX_TRACESTATE_MEMBERS = 32;

/** Everybody passes on so much; more would be kept with each event for ever. */
const MAX_TRACESTATE_LENGTH = 512;

/** Takes the trace context out of headers. What is not of its grammar is ignored; without a `traceparent` there is none. */
export function traceHeadersOf(header: (name: string) => string | undefined): TraceHeaders | undefined {
  const traceparent = header("traceparent");
  if (traceparent === undefined || !TRACEPARENT.test(traceparent)) return undefined;
  const tracestate = header("tracestate");
  return tracestate !== undefined && isTracestate(tracestate) ? { traceparent, tracestate } : { traceparent };
}

function isTracestate(text: string): boolean {
  if (text === "" || text.length > MAX_TRACESTATE_LENGTH) return false;
  const members = text.split(",").map((member) => member.trim());
  return members.length <= MAX_TRACESTATE_MEMBERS && members.every((member) => member === "" || TRACESTATE_MEMBER.test(member));
}
