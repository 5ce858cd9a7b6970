/** Serves the methods of a Connect router, within the bounds that the gRPC ports have too. */

import { finished } from "node:stream";
import { Code, ConnectError, type ConnectRouter, createContextKey, createContextValues, type HandlerContext } from "@connectrpc/connect";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { status as GrpcCode } from "@grpc/grpc-js";
import { tooManyCalls, tooManyStreams } from "../../internal/grpc/admission.ts";
import { StatusError } from "../../internal/grpc/errors.ts";
import type { GrpcLimits } from "../../internal/grpc/limits.ts";
import { tooManyHeaders, unknownMethod } from "../../internal/grpc/screening.ts";
import { grpcTimeout, maxTimerMs, parseGrpcTimeout } from "../../internal/grpc/timeouts.ts";
import { tooManyUnread } from "../../internal/grpc/unread.ts";
import type { Request, Response } from "./cors.ts";
import { codeName, connectErrorOf, correct } from "./errors.ts";
import { jsonFault } from "./json-fault.ts";
import type { Serve } from "./listen.ts";
import { refuse } from "./refuse.ts";
import { boundTransfers } from "./transfer.ts";

type MethodHandler = ConnectRouter["handlers"][number];

/** What the methods know of a call beside its context. */
export interface Call {
  /** Aborts, with the reason, when the connection is about to be closed: a call that would not end by itself ends then. */
  readonly leaving: AbortSignal;
}

interface RunningCall extends Call {
  readonly method: MethodHandler["method"];
  readonly refusal: StatusError | undefined;
  /** The pieces of a request in JSON, until it has been read. */
  json: Uint8Array[] | undefined;
}

const callKey = createContextKey<RunningCall | undefined>(undefined);

/** The call that a context is of. */
export function callOf({ values }: HandlerContext): Call {
  return runningCallOf(values);
}

function runningCallOf(values: HandlerContext["values"]): RunningCall {
  const call = values.get(callKey);
  if (call === undefined) throw new TypeError("the context is of no call of the gateway");
  return call;
}

/** What the router of the methods needs to hold the bounds. */
export function requestGate(context: HandlerContext): void {
  const call = runningCallOf(context.values);
  // Connect aborts a call with its error before it answers with it: only there it can be seen.
  context.signal.addEventListener("abort", () => explain(context.signal.reason, call), { once: true });
  if (call.refusal !== undefined) throw connectErrorOf(call.refusal);
}

export interface Served {
  readonly handle: Serve;
  inProgress(): number;
  /** False: some calls are still running. */
  ended(timeoutMs: number): Promise<boolean>;
}

export function serve(handlers: readonly MethodHandler[], limits: GrpcLimits): Served {
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]));
  const transfers = boundTransfers(limits);
  let running = 0;
  let streams = 0;
  let onIdle = (): void => undefined;

  function refusalOf(isStream: boolean): StatusError | undefined {
    if (running > limits.maxCallsInProgress) return tooManyCalls();
    return isStream && streams > limits.maxOpenStreams ? tooManyStreams() : undefined;
  }

  /** Until the answer has left; then what is still to come of the request is passed over, so that its stream can close. */
  function count(request: Request, response: Response, isStream: boolean, onEnd: () => void): void {
    running++;
    if (isStream) streams++;
    // HTTP/2 reports a response as finished only when its stream is closed, so this asks the stream.
    finished("stream" in response ? response.stream : response, { readable: false }, () => {
      running--;
      if (isStream) streams--;
      onEnd();
      request.resume();
      if (running === 0) onIdle();
    });
  }

  async function answer(handler: MethodHandler, request: Request, response: Response, leaving: AbortSignal): Promise<void> {
    const { method } = handler;
    const isStream = method.methodKind !== "unary";
    const { body, release } = transfers.receive(request, method.methodKind === "bidi_streaming");
    count(request, response, isStream, release);
    const call: RunningCall = { method, leaving, refusal: refusalOf(isStream), json: isJson(request) ? [] : undefined };
    const values = createContextValues().set(callKey, call);
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    const answered = await handler({ ...universal, body: noting(body, call) });
    if (!(await transfers.send(response, answered))) refuse(request, response, tooManyUnread(), 429);
  }

  return {
    handle(request, response, leaving) {
      const path = request.url?.split("?", 1)[0] ?? "";
      const handler = byPath.get(path);
      const headers = request.rawHeaders.length / 2;
      if (headers > limits.maxHeaders) return refuse(request, response, tooManyHeaders(headers, limits.maxHeaders), 431);
      if (handler === undefined) return refuse(request, response, unknownMethod(path), 404);
      const unsupported = unsupportedType(handler, request);
      if (unsupported !== undefined) return refuse(request, response, unsupported, 415);
      boundTimeouts(request);
      answer(handler, request, response, leaving).catch(() => {
        // The client has gone, or was cut off: nobody is left to be told.
        response.destroy();
      });
    },
    inProgress: () => running,
    ended(timeoutMs) {
      if (running === 0) return Promise.resolve(true);
      return new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), timeoutMs);
        onIdle = () => {
          clearTimeout(timer);
          resolve(true);
        };
      });
    },
  };
}

/** Keeps a request in JSON until it has been read: where it is wrong, only it tells. */
async function* noting(body: AsyncIterable<Uint8Array>, call: RunningCall): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    call.json?.push(piece);
    yield piece;
  }
}

/** Gives errors of Connect itself a reason, and those that are the caller's fault the code that says so. */
function explain(error: unknown, call: RunningCall): void {
  if (!(error instanceof ConnectError) || error.details.length > 0) return;
  correct(error, explained(error, call));
}

function explained({ code, rawMessage }: ConnectError, { method, json }: RunningCall): StatusError {
  const grpcCode = code as number as GrpcCode;
  if (code === Code.InvalidArgument) {
    if (rawMessage.includes("timeout")) return new StatusError(grpcCode, rawMessage, { reason: "INVALID_TIMEOUT" });
    return (json === undefined ? undefined : jsonFault(method.input, json)) ?? malformed(rawMessage);
  }
  if (code === Code.Internal && rawMessage.startsWith("parse binary")) return malformed("the request is not a valid message");
  return new StatusError(grpcCode, rawMessage, { reason: code === Code.ResourceExhausted ? "MESSAGE_TOO_LARGE" : codeName(code) });
}

function malformed(message: string): StatusError {
  return new StatusError(GrpcCode.INVALID_ARGUMENT, message, { reason: "MALFORMED_MESSAGE" });
}

function isJson({ headers }: Request): boolean {
  return /^application\/(connect\+)?json/.test(headers["content-type"] ?? "") && headers["content-encoding"] === undefined;
}

function unsupportedType(handler: MethodHandler, request: Request): StatusError | undefined {
  const contentType = request.headers["content-type"];
  if (request.method !== "POST" || contentType === undefined) return undefined;
  // Connect recognises gRPC-Web as text, and then does not serve it.
  if (handler.supportedContentType(contentType) && !contentType.startsWith("application/grpc-web-text")) return undefined;
  const message = `${contentType} is not served; send application/json, application/proto, application/grpc-web+proto or application/grpc`;
  return new StatusError(GrpcCode.UNIMPLEMENTED, message, { reason: "UNSUPPORTED_CONTENT_TYPE" });
}

/**
 * A timer that is too long fires at once, so a deadline that is longer is made as long as a timer
 * can be.
 */
function boundTimeouts({ headers }: Request): void {
  const grpc = headers["grpc-timeout"];
  const grpcMs = typeof grpc === "string" ? parseGrpcTimeout(grpc) : undefined;
  if (grpcMs !== undefined && grpcMs > maxTimerMs) headers["grpc-timeout"] = grpcTimeout(grpcMs);
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > maxTimerMs) {
    headers["connect-timeout-ms"] = String(maxTimerMs);
  }
}
