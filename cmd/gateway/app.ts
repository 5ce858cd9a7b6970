import { createConnectRouter } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { domains } from "../../internal/domains.ts";
import { createHealthProbe } from "../../internal/grpc/ask-health.ts";
import { defaultLimits, type GrpcLimits } from "../../internal/grpc/limits.ts";
import { withCors } from "./cors.ts";
import { forward } from "./forward.ts";
import { withAllowedHosts } from "./hosts.ts";
import { listen } from "./listen.ts";
import { requestGate, serve } from "./serve.ts";
import { connectUpstream } from "./upstream.ts";

/** How long a service may take to say how it is. */
const HEALTH_TIMEOUT_MS = 2_000;

/**
 * A request in JSON has up to three times the bytes of the same in binary, where a client writes
 * nothing beyond ASCII. What is too large in binary, the services refuse.
 */
const JSON_PER_BINARY = 3;

export interface GatewayOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Where the command services listen, such as http://127.0.0.1:50051. */
  readonly commandUrl: string;
  /** Where the query services listen. */
  readonly queryUrl: string;
  /** Origins of web pages that may call, such as https://shop.example.com, beside the gateway's own. "*": all. A gateway of this machine allows localhost too. */
  readonly allowedOrigins?: readonly string[];
  /** Names that it is called by, without ports. None: any, or those of this machine if it listens to nothing else. */
  readonly allowedHosts?: readonly string[];
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

/** Serves the services of all domains as Connect, gRPC-Web and gRPC on one port, until it is disposed of: then running calls may finish for a while. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { host, port, logger, allowedOrigins = [], allowedHosts = [] } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const stopped = new AbortController();
  const commands = connectUpstream(options.commandUrl);
  const queries = connectUpstream(options.queryUrl);
  const onUnreachable = (error: Error, method: string) => logger?.warn({ err: error, method }, "a service cannot be reached");

  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: limits.maxMessageBytes * JSON_PER_BINARY,
    shutdownSignal: stopped.signal,
    // A name that is not in the contract may have been meant to narrow what is asked for.
    jsonOptions: { ignoreUnknownFields: false },
    requestGate,
  });
  for (const domain of domains) {
    forward(router, domain.commands.service, commands.transport, onUnreachable);
    forward(router, domain.queries.service, queries.transport, onUnreachable);
  }
  const calls = serve(router.handlers, limits);
  const probes = [options.commandUrl, options.queryUrl].map(probe);
  const handle = withAllowedHosts(withCors(calls.handle, { host, allowedOrigins }), { host, allowedHosts });
  const listener = await listen(handle, { host, port, limits });

  return {
    port: listener.port,
    callsInProgress: calls.inProgress,
    address: `${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    async check() {
      await Promise.all(probes.map(({ check }) => check()));
    },
    async [Symbol.asyncDispose]() {
      for (const { close } of probes) close();
      listener.leave();
      const isFinished = await calls.ended(limits.drainTimeoutMs);
      if (!isFinished) logger?.warn({}, "calls were cut off, they did not finish in time");
      stopped.abort();
      await listener.close();
      commands.close();
      queries.close();
    },
  };
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
