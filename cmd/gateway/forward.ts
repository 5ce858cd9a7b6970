import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext, type Transport } from "@connectrpc/connect";
import { type StatusError, unavailable } from "../../internal/grpc/errors.ts";
import { asciiHeader } from "../../internal/grpc/header-text.ts";
import { connectErrorOf } from "./errors.ts";
import { callOf } from "./serve.ts";

const RETRY_AFTER_MS = 1_000;

/** Headers that belong to one connection or one protocol; all others are the caller's word to the service. */
const OWN_HEADERS =
  /^(:.*|connect-.*|grpc-.*|content-.*|accept.*|access-control-.*|sec-.*|proxy-.*|date|host|origin|referer|cookie|connection|keep-alive|te|trailer|transfer-encoding|upgrade|http2-settings|user-agent|x-user-agent|x-grpc-web)$/;

/** gRPC's header for a deadline has eight digits, and Connect writes milliseconds: 27 hours. */
const MAX_TIMEOUT_MS = 99_999_999;

/** Answers every method of a service with what the service itself answers: message, headers and trailers, or error with its details. */
export function forward(
  router: ConnectRouter,
  service: DescService,
  upstream: Transport,
  onUnreachable: (error: Error, method: string) => void,
): void {
  const failure = (reason: unknown, method: DescMethod, context: HandlerContext) => {
    const error = ConnectError.from(reason);
    // Connect passes on nothing beside the details of an error that came from a service.
    if (error.isWireError) copy(forwarded(error.metadata), context.responseTrailer);
    if (context.signal.aborted || !isBrokenConnection(error)) return error;
    onUnreachable(error, `${service.typeName}/${method.name}`);
    return connectErrorOf(unavailable("the service cannot be reached", { reason: "SERVICE_UNREACHABLE" }, RETRY_AFTER_MS));
  };

  const unary = (method: DescMethodUnary) =>
    router.rpc(method, async (request, context) => {
      const send = () => upstream.unary(method, context.signal, timeoutMs(context), forwarded(context.requestHeader), request);
      try {
        const answer = await send().catch((error: unknown) => (isRefused(error) ? send() : Promise.reject(error)));
        copy(forwarded(answer.header), context.responseHeader);
        copy(forwarded(answer.trailer), context.responseTrailer);
        return answer.message;
      } catch (error) {
        throw failure(error, method, context);
      }
    });

  async function* streaming(
    method: DescMethodBiDiStreaming | DescMethodServerStreaming,
    requests: AsyncIterable<MessageShape<DescMessage>>,
    context: HandlerContext,
    signal = context.signal,
  ) {
    try {
      const answer = await upstream.stream(method, signal, timeoutMs(context), forwarded(context.requestHeader), requests);
      copy(forwarded(answer.header), context.responseHeader);
      yield* answer.message;
      copy(forwarded(answer.trailer), context.responseTrailer);
    } catch (error) {
      throw failure(error, method, context);
    }
  }

  /** A stream that only the server ends. */
  async function* open(method: DescMethodServerStreaming, requests: AsyncIterable<MessageShape<DescMessage>>, context: HandlerContext) {
    const { leaving } = callOf(context);
    try {
      yield* streaming(method, requests, context, AbortSignal.any([context.signal, leaving]));
    } catch (error) {
      throw leaving.aborted && !context.signal.aborted ? connectErrorOf(leaving.reason as StatusError) : error;
    }
  }

  /** Takes no more requests when the connection is about to be closed; what was taken is answered. */
  async function* untilLeft(method: DescMethodBiDiStreaming, requests: AsyncIterable<MessageShape<DescMessage>>, context: HandlerContext) {
    const { leaving } = callOf(context);
    yield* streaming(method, untilAborted(requests, leaving, context.signal), context);
    if (leaving.aborted) throw connectErrorOf(leaving.reason as StatusError);
  }

  for (const method of service.methods) {
    switch (method.methodKind) {
      case "unary":
        unary(method as DescMethodUnary);
        break;
      case "bidi_streaming":
        router.rpc(method as DescMethodBiDiStreaming, (requests, context) =>
          untilLeft(method as DescMethodBiDiStreaming, requests, context),
        );
        break;
      case "server_streaming":
        router.rpc(method as DescMethodServerStreaming, (request, context) =>
          open(method as DescMethodServerStreaming, only(request), context),
        );
        break;
      case "client_streaming":
        throw new TypeError(`${method.name} streams only its requests, which is not forwarded`);
    }
  }
}

/** The requests until a signal aborts; the other says that nobody asks any more. */
async function* untilAborted<Item>(items: AsyncIterable<Item>, aborted: AbortSignal, ended: AbortSignal): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]();
  let stop = (): void => undefined;
  aborted.addEventListener("abort", () => stop(), { once: true, signal: ended });
  while (!aborted.aborted) {
    const next = await new Promise<IteratorResult<Item> | undefined>((resolve, reject) => {
      stop = () => resolve(undefined);
      iterator.next().then(resolve, reject);
    });
    if (next === undefined || next.done) return;
    yield next.value;
  }
}

async function* only<Request>(request: Request): AsyncGenerator<Request> {
  yield request;
}

/** The call crossed with the end of its connection: it was not begun. */
function isRefused(error: unknown): boolean {
  return ConnectError.from(error).rawMessage.includes("REFUSED_STREAM");
}

/** gRPC's header for it takes whole milliseconds only. */
function timeoutMs(context: HandlerContext): number | undefined {
  const remainingMs = context.timeoutMs();
  return remainingMs === undefined ? undefined : Math.min(MAX_TIMEOUT_MS, Math.max(1, Math.ceil(remainingMs)));
}

/** What a service says comes with metadata; what the transport says of itself has none. */
function isBrokenConnection(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Unavailable:
    case Code.Canceled:
    case Code.Aborted:
    case Code.Unknown:
    case Code.Internal:
      return error.metadata.keys().next().done === true;
    case Code.InvalidArgument:
    case Code.DeadlineExceeded:
    case Code.NotFound:
    case Code.AlreadyExists:
    case Code.PermissionDenied:
    case Code.ResourceExhausted:
    case Code.FailedPrecondition:
    case Code.OutOfRange:
    case Code.Unimplemented:
    case Code.DataLoss:
    case Code.Unauthenticated:
      return false;
  }
}

function forwarded(headers: Headers): Headers {
  const others = [...headers].filter(([name]) => !OWN_HEADERS.test(name));
  return new Headers(others.map(([name, value]) => [name, asciiHeader(value)]));
}

function copy(from: Headers, to: Headers): void {
  for (const [name, value] of from) to.append(name, value);
}
