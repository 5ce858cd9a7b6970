/**
 * What travels through one call of the gateway: its request has to arrive, its response has to be
 * read, and what is held of both is bounded, as on the gRPC ports.
 */

import { constants } from "node:http2";
import { deadlineExceeded, resourceExhausted } from "../../internal/grpc/errors.ts";
import { followFrames } from "../../internal/grpc/frames.ts";
import type { GrpcLimits } from "../../internal/grpc/limits.ts";
import { afterIdle } from "../../internal/grpc/timeouts.ts";
import type { Request, Response } from "./cors.ts";
import { connectErrorOf } from "./errors.ts";

/** Smaller pieces of an answer are bounded by their number: a call has a few of them at most. */
const LARGE_BYTES = 64 * 1024;

/** What clients have not read yet, of all answers: one that is slow may take ten seconds for one of 3 MiB. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

const RETRY_AFTER_MS = 1_000;

type Pieces = AsyncIterable<Uint8Array>;

export function boundTransfers(limits: GrpcLimits) {
  let bytesHeld = 0;
  const answering = new Set<Response>();

  return {
    /**
     * The request as it arrives. Of a stream, the client says when a message begins; any other
     * request has to be complete in time, and is held until `release`.
     */
    receive(request: Request, isStream: boolean): { readonly body: Pieces; readonly release: () => void } {
      let bytes = 0;
      const hold = (count: number): void => {
        bytes += count;
        bytesHeld += count;
      };
      return { body: isStream ? messages(request, hold) : whole(request, hold), release: () => hold(-bytes) };
    },
    /**
     * Whether a first piece of an answer finds room beside what other clients have not read.
     */
    hasRoom: (piece: Uint8Array): boolean => piece.length < LARGE_BYTES || unread() + piece.length <= MAX_RESPONSE_BYTES,
    /** Writes the pieces, and cuts off a client that does not read them. */
    async *send(response: Response, pieces: Pieces): Pieces & AsyncGenerator<Uint8Array> {
      answering.add(response);
      const cutOff = (): void => cut(response);
      let timer: Disposable | undefined;
      response.once("close", () => {
        timer?.[Symbol.dispose]();
        answering.delete(response);
      });
      for await (const piece of pieces) {
        if (piece.length >= LARGE_BYTES && unread() + piece.length > MAX_RESPONSE_BYTES) cutOff();
        // The next piece is asked for when this one has left.
        timer = afterIdle(limits.sendTimeoutMs, cutOff);
        yield piece;
        timer[Symbol.dispose]();
      }
      timer = afterIdle(limits.sendTimeoutMs, cutOff);
    },
  };

  function unread(): number {
    let bytes = 0;
    for (const response of answering) bytes += "stream" in response ? (response.stream?.writableLength ?? 0) : response.writableLength;
    return bytes;
  }

  async function* whole(request: Request, hold: (count: number) => void): AsyncGenerator<Uint8Array> {
    const endsAtMs = performance.now() + limits.receiveTimeoutMs;
    for await (const piece of inTime(request, () => endsAtMs - performance.now())) {
      hold(piece.length);
      if (bytesHeld > limits.maxRequestBytes) throw tooManyBytes();
      yield piece;
    }
  }

  /** While nobody asks for more, the client is not waited for. */
  async function* messages(request: Request, hold: (count: number) => void): AsyncGenerator<Uint8Array> {
    const frames = followFrames();
    let leftMs = limits.receiveTimeoutMs;
    const waitMs = (): number | undefined => (frames.isPartial ? leftMs : undefined);
    for await (const piece of inTime(request, waitMs, (waitedMs) => (leftMs -= waitedMs))) {
      hold(piece.length);
      if (bytesHeld > limits.maxRequestBytes) throw tooManyBytes();
      for (const size of frames.take(piece)) hold(-size);
      if (!frames.isPartial) leftMs = limits.receiveTimeoutMs;
      yield piece;
    }
  }
}

/** Pieces of a request, each waited for so long at most, if it is bounded. */
async function* inTime(
  request: Request,
  waitMs: () => number | undefined,
  onWaited: (waitedMs: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  const pieces = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  for (;;) {
    const beganAtMs = performance.now();
    const next = await within(pieces.next(), waitMs());
    onWaited(performance.now() - beganAtMs);
    if (next.done) return;
    yield next.value;
  }
}

async function within<Result>(promise: Promise<Result>, waitMs: number | undefined): Promise<Result> {
  if (waitMs === undefined) return promise;
  const late = Promise.withResolvers<never>();
  using _timer = afterIdle(waitMs, () => late.reject(notReceived()));
  promise.catch(() => undefined);
  return await Promise.race([promise, late.promise]);
}

/** Ends a call whose client does not read the answer, or does not end its side when it has. */
function cut(response: Response): void {
  if (!("stream" in response)) response.destroy();
  else response.stream?.close(response.stream.writableFinished ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

function notReceived() {
  return connectErrorOf(deadlineExceeded("the request did not arrive in time", { reason: "RECEIVE_TIMEOUT" }));
}

function tooManyBytes() {
  return connectErrorOf(resourceExhausted("too many requests are being received", { reason: "TOO_MANY_BYTES" }, RETRY_AFTER_MS));
}
