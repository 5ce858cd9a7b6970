/** What Node says of a connection that broke or never was, through whatever library it comes. */

/** System calls on sockets, and the look-up of a name. An error of another call, such as of a file, is none of a connection's. */
const socketCalls: ReadonlySet<unknown> = new Set(["accept", "bind", "connect", "getaddrinfo", "read", "shutdown", "write"]);

/** What Node reports without a system call: of streams that have ended, of TLS, and of several addresses at once. */
const connectionCodes: ReadonlySet<unknown> = new Set([
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "ERR_SOCKET_CLOSED",
  "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
  "ERR_SOCKET_CONNECTION_TIMEOUT",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_WRITE_AFTER_END",
]);

const certificateProblem = /certificate|\bCERT_|altname|handshake failure|wrong version number/i;

/** Whether an error says that a connection broke or could not be made, which passes. */
export function isConnectionError(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return socketCalls.has(syscall) || connectionCodes.has(code);
}

/** Why TLS was refused, in words for people, if that is what an error comes from: it does not pass. */
export function tlsProblemOf(error: Error): string | undefined {
  for (const { message } of causesOf(error)) if (certificateProblem.test(message)) return readable(message);
  return undefined;
}

/** An error and all that it comes from. */
export function* causesOf(error: Error): Generator<Error> {
  const { cause, originalError, errors = [] } = error as Error & { readonly originalError?: unknown; readonly errors?: readonly unknown[] };
  yield error;
  for (const inner of [cause, originalError, ...errors]) if (inner instanceof Error) yield* causesOf(inner);
}

/** OpenSSL's messages are a line of fields, of which one is for people. */
function readable(message: string): string {
  return /:SSL routines:[^:]*:(?<reason>[^:]+):/.exec(message)?.groups?.["reason"] ?? message;
}
