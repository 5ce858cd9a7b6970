import { constants, type ServerHttp2Stream } from "node:http2";
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import { deadlineExceeded, resourceExhausted, type StatusError, statusOf, toGrpcStatus } from "./errors.ts";
import type { GrpcLimits } from "./limits.ts";

/** Messages that arrive now have arrived or been given up by then. */
const retryAfterMs = 1_000;

/** A longer timer would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Ends calls whose request does not arrive, whose response is not read, or that the client leaves open; and bounds what is held of messages
 * that have not arrived completely. It must be the server's first interceptor: only the first sees the call of grpc-js itself.
 */
export function limitTransfer(limits: GrpcLimits, errorDomain: string): ServerInterceptor {
  let bytesInReceipt = 0;

  return (method, call) => {
    const stream = streamOf(call);
    const refuse = (error: StatusError): void => call.sendStatus(toGrpcStatus(statusOf(error, errorDomain)));
    const cutOff = (): void => stream.close(constants.NGHTTP2_CANCEL);
    let bytes = 0;
    let receiving: NodeJS.Timeout | undefined;
    let sending: NodeJS.Timeout | undefined;
    let stalling: NodeJS.Timeout | undefined;
    let messages = 0;
    let isSlow = false;

    /** The next message is sent when the one before has left; as long as messages follow each other, the client reads. */
    const watchReading = (): void => {
      const before = messages;
      stalling = setTimeout(() => {
        stalling = undefined;
        if (stream.writableLength === 0) return;
        if (messages > before) return watchReading();
        isSlow = true;
        refuse(slowClient(limits.sendTimeoutMs));
        // The status waits behind what the client does not read. If he goes on not to, this has the same meaning.
        const reset = setTimeout(() => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), limits.sendTimeoutMs);
        stream.once("close", () => clearTimeout(reset));
      }, limits.sendTimeoutMs);
    };
    const receive = (chunk: Buffer): void => {
      bytes += chunk.length;
      bytesInReceipt += chunk.length;
      if (bytesInReceipt > limits.maxBytesInReceipt) refuse(tooManyBytes());
    };
    const received = (): void => {
      bytesInReceipt -= bytes;
      bytes = 0;
    };

    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, deliver) {
            stream.on("data", receive);
            if (!method.requestStream) receiving = setTimeout(() => refuse(notReceived()), limits.receiveTimeoutMs);
            // At the deadline grpc-js ends the call only after the client has read what was written before.
            if (method.responseStream) sending = afterDeadline(call, limits.sendTimeoutMs, cutOff);
            deliver(metadata);
          },
          onReceiveMessage(message, deliver) {
            received();
            deliver(message);
          },
          onReceiveHalfClose(deliver) {
            clearTimeout(receiving);
            // A connection that breaks looks like the end of the requests, until it is reported as the cancellation that it is.
            if (!stream.closed) deliver();
          },
          onCancel() {
            clearTimeout(receiving);
            clearTimeout(sending);
            clearTimeout(stalling);
            stream.off("data", receive);
            received();
            resetUnlessEnded(stream, limits.sendTimeoutMs);
          },
        });
      },
      sendMessage(message, next) {
        if (!method.responseStream) sending = setTimeout(cutOff, limits.sendTimeoutMs);
        // Nothing follows the status.
        if (isSlow) return;
        next(message);
        messages++;
        if (method.responseStream && stalling === undefined) watchReading();
      },
    });
  };
}

function tooManyBytes(): StatusError {
  return resourceExhausted("too many requests are being received", { reason: "TOO_MANY_BYTES" }, retryAfterMs);
}

function notReceived(): StatusError {
  return deadlineExceeded("the request did not arrive in time", { reason: "RECEIVE_TIMEOUT" });
}

function slowClient(timeoutMs: number): StatusError {
  const message = `nothing was read for ${timeoutMs / 1000} s; call again with the last position or version seen`;
  return resourceExhausted(message, { reason: "SLOW_CLIENT" }, retryAfterMs);
}

function afterDeadline(call: ServerInterceptingCallInterface, graceMs: number, action: () => void): NodeJS.Timeout | undefined {
  const waitMs = Number(call.getDeadline()) - Date.now() + graceMs;
  return waitMs < maxTimerMs ? setTimeout(action, waitMs) : undefined;
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

/** grpc-js hides the HTTP/2 stream, but only there bytes can be counted and a stream be ended that the client leaves open. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}
