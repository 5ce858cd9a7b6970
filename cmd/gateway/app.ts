import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { RetryInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createHealthProbe } from "../../internal/grpc/ask-health.ts";
import { defaultLimits, type GrpcLimits } from "../../internal/grpc/limits.ts";
import { withCors } from "./cors.ts";
import { forward } from "./forward.ts";
import { listen } from "./listen.ts";
import { connectUpstream } from "./upstream.ts";

/** How long a service may take to say how it is. */
const HEALTH_TIMEOUT_MS = 2_000;

export interface GatewayOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Where OrderCommandService listens, such as http://127.0.0.1:50051. */
  readonly commandUrl: string;
  /** Where OrderQueryService listens. */
  readonly queryUrl: string;
  /** Origins of web pages that may call, such as https://shop.example.com, beside the gateway's own and localhost. "*": all. */
  readonly allowedOrigins?: readonly string[];
  readonly logger?: Logger;
  readonly limits?: Partial<GrpcLimits>;
}

export interface Logger {
  warn(facts: object, message: string): void;
}

export interface Gateway extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly port: number;
  callsInProgress(): number;
  /** Whether calls would be answered. @throws {Error} a service behind it is not serving, or cannot be reached */
  check(): Promise<void>;
}

/** Serves both services as Connect, gRPC-Web and gRPC on one port, until it is disposed of: then running calls may finish for a while. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { host, port, logger, allowedOrigins = [] } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const stopping = new AbortController();
  const stopped = new AbortController();
  const commands = connectUpstream(options.commandUrl);
  const queries = connectUpstream(options.queryUrl);
  const onUnreachable = (error: Error, method: string) => logger?.warn({ err: error, method }, "a service cannot be reached");

  const handle = connectNodeAdapter({
    readMaxBytes: limits.maxMessageBytes,
    shutdownSignal: stopped.signal,
    // A name that is not in the contract may have been meant to narrow what is asked for.
    jsonOptions: { ignoreUnknownFields: false },
    requestGate(context) {
      if (listener.callsInProgress() > limits.maxCallsInProgress) throw tooManyCalls();
      blameCaller(context);
    },
    routes(router) {
      forward(router, OrderCommandService, commands.transport, { onUnreachable, stopping: stopping.signal });
      forward(router, OrderQueryService, queries.transport, { onUnreachable, stopping: stopping.signal });
    },
  });
  const probes = [options.commandUrl, options.queryUrl].map(probe);
  const listener = await listen(withCors(handle, allowedOrigins), { host, port, limits });

  return {
    port: listener.port,
    callsInProgress: listener.callsInProgress,
    address: `${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    async check() {
      await Promise.all(probes.map(({ check }) => check()));
    },
    async [Symbol.asyncDispose]() {
      for (const { close } of probes) close();
      stopping.abort();
      const finished = await listener.drain();
      if (!finished) logger?.warn({}, "calls were cut off, they did not finish in time");
      stopped.abort();
      await listener.close();
      commands.close();
      queries.close();
    },
  };
}

function tooManyCalls(): ConnectError {
  const retryInfo = { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n } } };
  return new ConnectError("too many calls are in progress", Code.ResourceExhausted, undefined, [retryInfo]);
}

/**
 * Connect takes bytes that are no message for an error of its own. It aborts a call with its error
 * before it answers with it, and that is where the error can be seen.
 */
function blameCaller({ signal }: HandlerContext): void {
  const correct = (): void => {
    const error: unknown = signal.reason;
    if (!(error instanceof ConnectError) || error.code !== Code.Internal || !error.rawMessage.startsWith("parse binary")) return;
    Object.assign(error, { code: Code.InvalidArgument, rawMessage: "the request is not a valid message" });
  };
  signal.addEventListener("abort", correct, { once: true });
}

/** Asks a service behind the gateway how it is. */
function probe(url: string) {
  const { hostname, port, protocol } = new URL(url);
  const tls = protocol === "https:";
  const health = createHealthProbe(`${hostname}:${port || (tls ? 443 : 80)}`, { tls });
  return {
    async check() {
      const status = await health.ask({ timeoutMs: HEALTH_TIMEOUT_MS });
      if (status !== "SERVING") throw new Error(`the service at ${url} is not serving: ${status}`);
    },
    close: () => health[Symbol.dispose](),
  };
}
