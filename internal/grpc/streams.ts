import type { ServerDuplexStream, ServerWritableStream } from "@grpc/grpc-js";
import { untilAborted } from "../cqrs/until-aborted.ts";
import type { OpenCall } from "./call.ts";

/** What may wait behind the response that is being sent. grpc-js lets 16 wait, however large: 4,000 streams would hold gigabytes. */
const MAX_WAITING_BYTES = 16 * 1024;

/**
 * The requests of a stream, read no faster than they are taken: grpc-js holds 16 of them and then
 * stops reading, until flow control stops the client. Ends with the reason of the signal if the
 * call is aborted; and when the connection is about to be closed, so that what was taken is
 * answered and the rest goes elsewhere.
 *
 * Not with the stream's own iterator: at the error by which a call gets its status, that destroys
 * the stream, and where a response is still being written grpc-js then never sends the status.
 */
export async function* readRequests(
  stream: ServerDuplexStream<Buffer, Buffer>,
  { signal, leaving }: Pick<OpenCall, "signal" | "leaving">,
): AsyncGenerator<Buffer> {
  let wake = (): void => undefined;
  const onChange = (): void => wake();
  stream.on("readable", onChange).once("end", onChange);
  signal.addEventListener("abort", onChange);
  leaving.addEventListener("abort", onChange, { signal });
  while (!leaving.aborted) {
    signal.throwIfAborted();
    const request = stream.read() as Buffer | null;
    if (request !== null) yield request;
    else if (stream.readableEnded) return;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
}

/** Writes all responses and then the trailers, no faster than the client reads them. @throws the signal's reason if the call is aborted */
export async function writeResponses(
  stream: ServerDuplexStream<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>,
  responses: AsyncIterable<Buffer>,
  call: OpenCall,
): Promise<void> {
  let waitingBytes = 0;
  for await (const response of responses) {
    call.signal.throwIfAborted();
    call.sendHeaders();
    const left = Promise.withResolvers<void>();
    waitingBytes += response.length;
    const hasRoom = stream.write(response, () => {
      waitingBytes -= response.length;
      left.resolve();
    });
    if (!hasRoom || waitingBytes > MAX_WAITING_BYTES) await untilAborted(left.promise, call.signal);
  }
  call.signal.throwIfAborted();
  call.sendHeaders();
  stream.end(call.trailers);
}
