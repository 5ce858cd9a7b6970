import { constants, type ServerHttp2Stream } from "node:http2";
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import { deadlineExceeded, resourceExhausted, type StatusError, statusOf, toGrpcStatus, unavailable } from "./errors.ts";
import type { GrpcLimits } from "./limits.ts";

/** Enough for the calls of a full server to be answered. */
const retryAfterMs = 1_000;

/** A longer timer would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/** Health and reflection answer even when the server is full or stops: that is when they are asked. */
const infrastructure = "/grpc.";

export interface CallTracker {
  readonly interceptor: ServerInterceptor;
  inProgress(): number;
  /** Refuses new calls, and waits for the running ones. False: they did not finish in time. */
  drain(timeoutMs: number): Promise<boolean>;
}

/** Counts the calls and refuses those beyond the limits; ends calls whose message does not arrive or whose answer is not taken. */
export function createCallTracker(limits: GrpcLimits, errorDomain: string): CallTracker {
  let inProgress = 0;
  let bytesInReceipt = 0;
  let drained: PromiseWithResolvers<boolean> | undefined;

  const refuse = (call: ServerInterceptingCallInterface, error: StatusError): void =>
    call.sendStatus(toGrpcStatus(statusOf(error, errorDomain)));

  const refusal = (): StatusError | undefined => {
    if (drained !== undefined) return unavailable("the server is stopping", { reason: "SERVER_STOPPING" }, retryAfterMs);
    if (inProgress >= limits.maxCallsInProgress) return resourceExhausted("too many calls are in progress", { reason: "TOO_MANY_CALLS" }, retryAfterMs);
    return undefined;
  };

  const interceptor: ServerInterceptor = (method, call) => {
    const isCounted = !method.path.startsWith(infrastructure);
    const stream = streamOf(call);
    const cutOff = (): void => stream.close(constants.NGHTTP2_CANCEL);
    let bytes = 0;
    let receiving: NodeJS.Timeout | undefined;
    let sending: NodeJS.Timeout | undefined;

    const receive = (chunk: Buffer): void => {
      bytes += chunk.length;
      bytesInReceipt += chunk.length;
      if (bytesInReceipt > limits.maxBytesInReceipt) refuse(call, tooManyBytes());
    };
    const received = (): void => {
      bytesInReceipt -= bytes;
      bytes = 0;
    };
    const end = (): void => {
      clearTimeout(receiving);
      clearTimeout(sending);
      stream.off("data", receive);
      received();
      if (isCounted && --inProgress === 0) drained?.resolve(true);
      resetUnlessEnded(stream, limits.sendTimeoutMs);
    };

    return new ServerInterceptingCall(call, {
      start(next) {
        const error = isCounted ? refusal() : undefined;
        if (error !== undefined) {
          refuse(call, error);
          resetUnlessEnded(stream, limits.sendTimeoutMs);
          return;
        }
        if (isCounted) inProgress++;
        stream.on("data", receive);
        if (!method.requestStream) receiving = setTimeout(() => refuse(call, notReceived()), limits.receiveTimeoutMs);
        // At the deadline grpc-js ends the call only after the client has read what was written before.
        if (method.responseStream) sending = atDeadline(call, limits.sendTimeoutMs, cutOff);
        next({
          onReceiveMessage(message, deliver) {
            received();
            deliver(message);
          },
          onReceiveHalfClose(deliver) {
            clearTimeout(receiving);
            // A reset by the client looks like the end of its requests, until it is reported as the cancellation that it is.
            if (!stream.closed) deliver();
          },
          onCancel: end,
        });
      },
      sendMessage(message, next) {
        if (!method.responseStream) sending = setTimeout(cutOff, limits.sendTimeoutMs);
        next(message);
      },
    });
  };

  return {
    interceptor,
    inProgress: () => inProgress,
    async drain(timeoutMs) {
      drained ??= Promise.withResolvers<boolean>();
      if (inProgress === 0) drained.resolve(true);
      const timer = setTimeout(() => drained?.resolve(false), timeoutMs);
      const finished = await drained.promise;
      clearTimeout(timer);
      return finished;
    },
  };
}

function tooManyBytes(): StatusError {
  return resourceExhausted("too many requests are being received", { reason: "TOO_MANY_BYTES" }, retryAfterMs);
}

function atDeadline(call: ServerInterceptingCallInterface, graceMs: number, action: () => void): NodeJS.Timeout | undefined {
  const remainingMs = Number(call.getDeadline()) - Date.now();
  return remainingMs < maxTimerMs - graceMs ? setTimeout(action, remainingMs + graceMs) : undefined;
}

function notReceived(): StatusError {
  return deadlineExceeded("the request did not arrive in time", { reason: "RECEIVE_TIMEOUT" });
}

/** grpc-js hides the HTTP/2 stream, but only there bytes can be counted and a stream be ended that the client leaves open. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}

/**
 * After its status grpc-js waits for the client to end the stream; one that never does would keep it for ever. Clients end it themselves when
 * they have read the status, and a reset before that would take the status from them.
 */
function resetUnlessEnded(stream: ServerHttp2Stream, graceMs: number): void {
  if (stream.closed || stream.readableEnded) return;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), graceMs);
  stream.once("close", () => clearTimeout(timer));
}
