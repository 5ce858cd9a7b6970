/** Headwater over gRPC, for Node. */

import type { SecureClientSessionOptions } from "node:http2";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createHeadwater, type Headwater } from "./headwater.ts";

/** A connection that carries calls but no data for this long is asked whether it is still there. */
const PING_INTERVAL_MS = 5_000;

/** A connection that does not say so within this time is given up, with its calls, which are then made again on another one. */
const PING_TIMEOUT_MS = 3_000;

/** Where the servers are, and how to reach them. */
export interface GrpcOptions {
  /** Where OrderCommandService listens. Default: http://127.0.0.1:50051. */
  readonly commandUrl?: string;
  /** Where OrderQueryService listens. Default: http://127.0.0.1:50052. */
  readonly queryUrl?: string;
  /** See and change every call, such as to add credentials. */
  readonly interceptors?: readonly Interceptor[];
  /** Certificates for https URLs, where those of the system are not the right ones. */
  readonly tls?: SecureClientSessionOptions;
}

/** Connects over gRPC, at the first call. Idle connections keep no process alive; disposing closes them at once, with the calls on them. */
export function connectGrpc(options: GrpcOptions = {}): Headwater & Disposable {
  const { commandUrl = "http://127.0.0.1:50051", queryUrl = "http://127.0.0.1:50052", interceptors = [], tls } = options;
  const pings = { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS };
  const connections: Http2SessionManager[] = [];
  const transport = (baseUrl: string) => {
    const sessionManager = new Http2SessionManager(baseUrl, pings, tls);
    connections.push(sessionManager);
    return createGrpcTransport({ baseUrl, sessionManager, interceptors: [...interceptors] });
  };
  return {
    ...createHeadwater({ commands: transport(commandUrl), queries: transport(queryUrl) }),
    [Symbol.dispose]() {
      for (const connection of connections) connection.abort();
    },
  };
}
