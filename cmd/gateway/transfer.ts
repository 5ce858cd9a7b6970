/**
 * What travels through one call of the gateway: its request has to arrive, its response has to be
 * read, and what is held of both is bounded, as on the gRPC ports.
 */

import type { ServerResponse } from "node:http";
import { constants } from "node:http2";
import type { Writable } from "node:stream";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { deadlineExceeded, resourceExhausted } from "../../internal/grpc/errors.ts";
import { followFrames } from "../../internal/grpc/frames.ts";
import type { GrpcLimits } from "../../internal/grpc/limits.ts";
import { resetUnread } from "../../internal/grpc/resets.ts";
import { afterIdle } from "../../internal/grpc/timeouts.ts";
import { type Answer, createUnread } from "../../internal/grpc/unread.ts";
import type { Request, Response } from "./cors.ts";
import { connectErrorOf, withPushback } from "./errors.ts";

const RETRY_AFTER_MS = 1_000;

type Pieces = AsyncIterable<Uint8Array>;

export function boundTransfers(limits: GrpcLimits) {
  let bytesHeld = 0;
  const unread = createUnread(limits.maxUnreadBytes);

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
     * Writes an answer, no faster than the client reads it, and cuts off a client that does not.
     * False: nothing was sent, since it finds no room beside what clients have not read.
     */
    async send(response: Response, { status, header, body, trailer }: UniversalServerResponse): Promise<boolean> {
      const answer = answerOf(response, limits);
      let waiting: Disposable | undefined;
      response.on("error", () => undefined);
      response.once("close", () => {
        waiting?.[Symbol.dispose]();
        unread.ended(answer);
      });
      const begin = (): void => {
        if (response.headersSent) return;
        // Both kinds have it; the types of their overloads do not fit together.
        (response as ServerResponse).writeHead(status, Object.fromEntries(header ?? []));
      };
      for await (const piece of body ?? []) {
        if (!unread.hasRoom(answer, piece.length)) {
          if (!response.headersSent) return false;
          answer.cutOff();
        }
        begin();
        waiting = afterIdle(limits.sendTimeoutMs, answer.cutOff);
        await written(response, piece);
        waiting[Symbol.dispose]();
      }
      begin();
      if (trailer !== undefined) response.addTrailers(withPushback(trailer));
      response.end();
      waiting = afterIdle(limits.sendTimeoutMs, answer.cutOff);
      return true;
    },
  };

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

function answerOf(response: Response, { sendTimeoutMs }: GrpcLimits): Answer {
  const stream = "stream" in response ? response.stream : undefined;
  let isCutOff = false;
  return {
    connection: stream?.session ?? response.socket,
    unreadBytes: () => (stream ?? response).writableLength,
    isCutOff: () => isCutOff,
    cutOff() {
      isCutOff = true;
      if (stream === undefined) response.destroy();
      // The client has read the answer, and does not end its side.
      else if (stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR);
      else resetUnread(stream, sendTimeoutMs);
    },
  };
}

/** Resolves when the piece has left. */
function written(response: Writable, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error("the client has gone"));
    response.once("close", gone);
    response.write(piece, (error) => {
      response.off("close", gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

function notReceived() {
  return connectErrorOf(deadlineExceeded("the request did not arrive in time", { reason: "RECEIVE_TIMEOUT" }));
}

function tooManyBytes() {
  return connectErrorOf(resourceExhausted("too many requests are being received", { reason: "TOO_MANY_BYTES" }, RETRY_AFTER_MS));
}
