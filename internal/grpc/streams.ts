import { once } from "node:events";
import type { ServerDuplexStream, ServerWritableStream } from "@grpc/grpc-js";
import type { OpenCall } from "./call.ts";

/**
 * The requests of a stream, read no faster than they are taken: grpc-js holds 16 of them and then
 * stops reading, until flow control stops the client. Ends with the reason of the signal if the
 * call is aborted; and when the connection is about to be closed, so that what was taken is
 * answered and the rest goes elsewhere.
 */
export async function* readRequests(
  stream: ServerDuplexStream<Buffer, Buffer>,
  { signal, leaving }: Pick<OpenCall, "signal" | "leaving">,
): AsyncGenerator<Buffer> {
  // A handler that takes no more requests may still have responses to write, so the stream must
  // outlive the iteration.
  const requests = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let leave = (): void => undefined;
  leaving.addEventListener("abort", () => leave(), { once: true, signal });
  try {
    while (!leaving.aborted) {
      const next = await new Promise<IteratorResult<Buffer> | undefined>((resolve, reject) => {
        leave = () => resolve(undefined);
        requests.next().then(resolve, reject);
      });
      if (next === undefined || next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}

/** Writes all responses and then the trailers, no faster than the client reads them. @throws the signal's reason if the call is aborted */
export async function writeResponses(
  stream: ServerDuplexStream<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>,
  responses: AsyncIterable<Buffer>,
  call: OpenCall,
): Promise<void> {
  for await (const response of responses) {
    call.signal.throwIfAborted();
    call.sendHeaders();
    if (!stream.write(response)) await once(stream, "drain", { signal: call.signal });
  }
  call.signal.throwIfAborted();
  call.sendHeaders();
  stream.end(call.trailers);
}
