import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createHealthProbe } from "../../internal/grpc/ask-health.ts";
import { withCors } from "./cors.ts";
import { connectUpstream, forward } from "./forward.ts";
import { listen } from "./listen.ts";

/** What the services behind take, too: the largest order that the rules allow is well below. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

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
}

export interface Logger {
  warn(facts: object, message: string): void;
}

export interface Gateway extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly port: number;
  /** Whether calls would be answered. @throws {Error} a service behind it is not serving, or cannot be reached */
  check(): Promise<void>;
}

/** Serves both services as Connect, gRPC-Web and gRPC on one port, until it is disposed of: then running calls may finish for a while. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { host, port, logger, allowedOrigins = [] } = options;
  const stopping = new AbortController();
  const stopped = new AbortController();
  const commands = connectUpstream(options.commandUrl);
  const queries = connectUpstream(options.queryUrl);
  const onUnreachable = (error: Error, method: string) => logger?.warn({ err: error, method }, "a service cannot be reached");

  const handle = connectNodeAdapter({
    readMaxBytes: MAX_MESSAGE_BYTES,
    shutdownSignal: stopped.signal,
    routes(router) {
      forward(router, OrderCommandService, commands.transport, { onUnreachable, stopping: stopping.signal });
      forward(router, OrderQueryService, queries.transport, { onUnreachable, stopping: stopping.signal });
    },
  });
  const probes = [options.commandUrl, options.queryUrl].map(probe);
  const listener = await listen(withCors(handle, allowedOrigins), { host, port });

  return {
    port: listener.port,
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
