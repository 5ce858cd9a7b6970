import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "../platform/logging.ts";
import { createAdmission } from "./admission.ts";
import { defaultLimits, type GrpcLimits } from "./limits.ts";
import { addReflection } from "./reflection.ts";
import type { GrpcService } from "./service.ts";
import { limitTransfer } from "./transfer.ts";

/** A name in grpc.health.v1 that is SERVING as long as the process answers at all: to restart it would not bring back what it waits for. */
const ALIVE = "alive";

/** How long a peer may take to close its side of a connection that the server has closed. */
const goodbyeMs = 500;

export interface GrpcServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly services: readonly GrpcService[];
  /** The domain of the reasons in google.rpc.ErrorInfo. */
  readonly errorDomain: string;
  readonly logger: Logger;
  readonly limits?: Partial<GrpcLimits>;
}

export interface GrpcServer extends AsyncDisposable {
  readonly port: number;
  /** host:port */
  readonly address: string;
  /**
   * What grpc.health.v1 says of the server and of each of its services, and whether calls are let in. A server begins as NOT_SERVING: that
   * it listens says nothing of what it needs.
   */
  setServing(isServing: boolean): void;
  callsInProgress(): number;
}

/** Serves until it is disposed of: then it takes no new calls, lets running ones finish for a while, and closes. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { services, errorDomain, logger } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const names = ["", ...services.map(({ descriptor }) => descriptor.typeName)];
  const health = new HealthImplementation({ [ALIVE]: "SERVING" });
  const calls = createAdmission({ maxCalls: limits.maxCallsInProgress, errorDomain });
  const server = new Server({ ...channelOptions(limits), interceptors: [limitTransfer(limits, errorDomain), calls.interceptor] });

  for (const service of services) service.addTo(server, { errorDomain, logger, unaryTimeoutMs: limits.unaryTimeoutMs });
  health.addToServer(server);
  addReflection(
    server,
    services.map(({ descriptor }) => descriptor),
  );
  let isDraining = false;
  const setServing = (isServing: boolean): void => {
    calls.setServing(isServing);
    for (const name of names) health.setStatus(name, isServing && !isDraining ? "SERVING" : "NOT_SERVING");
  };
  setServing(false);
  const listener = await listen(server, options, limits);

  return {
    port: listener.port,
    address: `${options.host.includes(":") ? `[${options.host}]` : options.host}:${listener.port}`,
    setServing,
    callsInProgress: calls.inProgress,
    async [Symbol.asyncDispose]() {
      isDraining = true;
      const draining = calls.drain(limits.drainTimeoutMs);
      setServing(false);
      const isFinished = await draining;
      if (!isFinished) logger.warn({ calls: calls.inProgress() }, "calls are cut off: they did not finish in time");
      await listener.close(isFinished ? goodbyeMs : 0);
    },
  };
}

/** Listens itself and hands the connections on: grpc-js neither bounds their number nor can it end all of them. */
async function listen(server: Server, { host, port }: GrpcServerOptions, { maxConnections }: GrpcLimits) {
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.once("finish", () => setTimeout(() => socket.destroy(), goodbyeMs).unref());
    injector.injectConnection(socket);
  });
  listener.maxConnections = maxConnections;
  listener.listen(port, host);
  await once(listener, "listening");

  return {
    port: (listener.address() as AddressInfo).port,
    async close(graceMs: number) {
      const closed = once(listener, "close");
      listener.close();
      injector.destroy();
      const timer = setTimeout(() => sockets.forEach((socket) => socket.destroy()), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

function channelOptions(limits: GrpcLimits) {
  return {
    "grpc.max_receive_message_length": limits.maxMessageBytes,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    "grpc.keepalive_time_ms": limits.keepaliveTimeMs,
    "grpc.keepalive_timeout_ms": limits.keepaliveTimeoutMs,
    "grpc.max_connection_idle_ms": limits.maxConnectionIdleMs,
    // Its bookkeeping costs time and memory on every call, and nothing serves it.
    "grpc.enable_channelz": 0,
  };
}
