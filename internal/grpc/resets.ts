import { constants, type ServerHttp2Stream } from "node:http2";
import { endConnection } from "./connections.ts";

/**
 * After its status grpc-js waits for the client to end the stream; one that never does would keep it for ever. Clients end it themselves when
 * they have read the status, and a reset before that would take the status from them.
 */
export function resetUnlessEnded(stream: ServerHttp2Stream, graceMs: number): void {
  if (stream.closed || stream.readableEnded) return;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), graceMs);
  stream.once("close", () => clearTimeout(timer));
}

/**
 * Ends a stream whose client does not read. Where its socket takes nothing either, the reset cannot
 * be written and what is held stays: then the connection ends.
 */
export function resetUnread(stream: ServerHttp2Stream, graceMs: number): void {
  const { session } = stream;
  if (session === undefined || stream.closed) return;
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const timer = setTimeout(() => endConnection(session), graceMs);
  stream.once("close", () => clearTimeout(timer));
}
