import type { ServerHttp2Stream } from "node:http2";
import { status as Code, ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import { noteLeaving } from "./call.ts";
import { deadlineExceeded, resourceExhausted, StatusError, statusOf, toGrpcStatus } from "./errors.ts";
import { followFrames, HEAD_BYTES } from "./frames.ts";
import type { GrpcLimits } from "./limits.ts";
import { resetUnlessEnded, resetUnread } from "./resets.ts";
import { maxTimerMs } from "./timeouts.ts";
import { type Answer, createUnread, tooManyUnread } from "./unread.ts";

/** Messages that arrive now have arrived or been given up by then. */
const retryAfterMs = 1_000;

export interface TransferOptions {
  readonly limits: GrpcLimits;
  readonly errorDomain: string;
  /** Aborts when the connection of a call is about to be closed. */
  readonly leaving: (session: object | undefined) => AbortSignal;
}

/**
 * Ends calls whose request does not arrive, whose response is not read, or that the client leaves
 * open; and bounds what is held of requests and of responses. It must be the server's first
 * interceptor: only the first sees the call of grpc-js itself.
 */
export function limitTransfer({ limits, errorDomain, leaving }: TransferOptions): ServerInterceptor {
  let bytesHeld = 0;
  const unread = createUnread(limits.maxUnreadBytes);

  return (method, call) => {
    const stream = streamOf(call);
    explainStatuses(call, errorDomain);
    takeEmptyMessages(call);
    const refuse = (error: StatusError): void => call.sendStatus(toGrpcStatus(statusOf(error, errorDomain)));
    const cutOff = (): void => resetUnread(stream, limits.sendTimeoutMs);
    const answer: Answer = {
      connection: stream.session ?? stream,
      unreadBytes: () => stream.writableLength,
      isCutOff: () => stream.closed,
      cutOff,
    };
    const frames = followFrames();
    /** The sizes of messages that the handler has not taken. */
    const untaken: number[] = [];
    let bytes = 0;
    let receiving: NodeJS.Timeout | undefined;
    let sending: NodeJS.Timeout | undefined;
    let stalling: NodeJS.Timeout | undefined;
    let messages = 0;
    let isGivenUp = false;
    let isOver = false;

    /** The status waits behind what the client does not read. If it goes on not to, a reset has the same meaning. */
    const giveUp = (error: StatusError): void => {
      isGivenUp = true;
      refuse(error);
      const reset = setTimeout(cutOff, limits.sendTimeoutMs);
      stream.once("close", () => clearTimeout(reset));
    };
    /** The next message is sent when the one before has left; as long as messages follow each other, the client reads. */
    const watchReading = (): void => {
      const before = messages;
      stalling = setTimeout(() => {
        stalling = undefined;
        if (stream.writableLength === 0) return;
        if (messages > before) return watchReading();
        giveUp(slowClient(limits.sendTimeoutMs));
      }, limits.sendTimeoutMs);
    };
    const receive = (chunk: Buffer): void => {
      hold(chunk.length);
      if (bytesHeld > limits.maxRequestBytes) refuse(tooManyBytes());
      if (!method.requestStream) return;
      untaken.push(...frames.take(chunk));
      if (!frames.isPartial) received();
      else receiving ??= setTimeout(checkReceipt, limits.receiveTimeoutMs);
    };
    /** A message that the handler does not take yet is not the client's to finish. */
    const checkReceipt = (): void => {
      if (stream.isPaused()) receiving = setTimeout(checkReceipt, limits.receiveTimeoutMs);
      else refuse(notReceived());
    };
    const received = (): void => {
      clearTimeout(receiving);
      receiving = undefined;
    };
    const hold = (count: number): void => {
      bytes += count;
      bytesHeld += count;
    };

    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, deliver) {
            stream.on("data", receive);
            noteLeaving(metadata, leaving(stream.session));
            if (!method.requestStream) receiving = setTimeout(checkReceipt, limits.receiveTimeoutMs);
            // At the deadline grpc-js ends the call only after the client has read what was written before.
            if (method.responseStream) sending = afterDeadline(call, limits.sendTimeoutMs, cutOff);
            deliver(metadata);
          },
          onReceiveMessage(message, deliver) {
            // What a stream takes is the handler's; the one message of another call is held until
            // it is answered.
            if (method.requestStream) hold(-(untaken.shift() ?? 0));
            deliver(message);
          },
          onReceiveHalfClose(deliver) {
            received();
            // A connection that breaks looks like the end of the requests, until it is reported as the cancellation that it is.
            if (!stream.closed) deliver();
          },
          onCancel() {
            clearTimeout(sending);
            clearTimeout(stalling);
            stream.off("data", receive);
            received();
            hold(-bytes);
            unread.ended(answer);
            isOver = true;
            resetUnlessEnded(stream, limits.sendTimeoutMs);
          },
        });
      },
      sendMessage(message: unknown, next) {
        // Nothing follows the status.
        if (isGivenUp || isOver) return;
        // Of health and reflection, which are small, grpc-js makes the bytes later.
        const hasRoom = unread.hasRoom(answer, Buffer.isBuffer(message) ? message.length : 0);
        // A stream would keep its message until its status is read.
        if (!hasRoom) return method.responseStream ? cutOff() : giveUp(tooManyUnread());
        if (!method.responseStream) sending = setTimeout(cutOff, limits.sendTimeoutMs);
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
 * A message that is compressed and has no bytes is an empty one; grpc-js takes it for a broken one.
 */
function takeEmptyMessages(call: ServerInterceptingCallInterface): void {
  const decompressing = call as unknown as { decompressMessage(framed: Buffer, encoding: string): Buffer | Promise<Buffer> };
  const decompress = decompressing.decompressMessage.bind(call);
  decompressing.decompressMessage = (framed, encoding) => decompress(framed, framed.length === HEAD_BYTES ? "identity" : encoding);
}

/**
 * Gives what grpc-js itself answers a reason, as all our answers have one; and its verdict on what
 * cannot be read is corrected.
 */
function explainStatuses(call: ServerInterceptingCallInterface, errorDomain: string): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    const isExplained = status.code === Code.OK || (status.metadata?.get("grpc-status-details-bin").length ?? 0) > 0;
    send(isExplained ? status : toGrpcStatus(statusOf(explained(status.code ?? Code.UNKNOWN, status.details ?? ""), errorDomain)));
  };
}

function explained(code: Code, details: string): StatusError {
  if (details === "Failed to decompress message") {
    return new StatusError(Code.INVALID_ARGUMENT, "the request is not compressed as it says", { reason: "MALFORMED_MESSAGE" });
  }
  return new StatusError(code, details, { reason: code === Code.RESOURCE_EXHAUSTED ? "MESSAGE_TOO_LARGE" : (Code[code] ?? "UNKNOWN") });
}

/** grpc-js hides the HTTP/2 stream, but only there bytes can be counted and a stream be ended that the client leaves open. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}
