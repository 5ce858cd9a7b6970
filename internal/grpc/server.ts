import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Server } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "../platform/logging.ts";
import { createAdmission, stopping } from "./admission.ts";
import { type Connections, watchConnections } from "./connections.ts";
import { type Http2Below, openHttp2Below } from "./http2-below.ts";
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

/**
 * Serves until it is disposed of: then it takes no new connections, tells its clients to go
 * elsewhere, lets running calls finish for a while, and closes.
 */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { services, errorDomain, logger } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const names = ["", ...services.map(({ descriptor }) => descriptor.typeName)];
  const health = new HealthImplementation({ [ALIVE]: "SERVING" });
  const { maxCallsInProgress: maxCalls, maxOpenStreams: maxStreams } = limits;
  const calls = createAdmission({ maxCalls, maxStreams, errorDomain });
  let connections: Connections;
  const transfer = limitTransfer({ limits, errorDomain, leaving: (session) => connections.leaving(session) });
  const server = new Server({ ...channelOptions(limits), interceptors: [transfer, calls.interceptor] });
  const below = openHttp2Below(server, limits, errorDomain);
  connections = watchConnections(below.http2, limits);

  for (const service of services) service.addTo(server, { errorDomain, logger, unaryTimeoutMs: limits.unaryTimeoutMs });
  health.addToServer(server);
  addReflection(
    server,
    services.map(({ descriptor }) => descriptor),
  );
  let isDraining = false;
  const setServing = (isServing: boolean): void => {
    // Who has not heard yet that the server stops is still served.
    if (!isDraining) calls.setServing(isServing);
    for (const name of names) health.setStatus(name, isServing && !isDraining ? "SERVING" : "NOT_SERVING");
  };
  setServing(false);
  const listener = await listen(below, options, limits);

  return {
    port: listener.port,
    address: `${options.host.includes(":") ? `[${options.host}]` : options.host}:${listener.port}`,
    setServing,
    callsInProgress: calls.inProgress,
    async [Symbol.asyncDispose]() {
      isDraining = true;
      setServing(false);
      listener.stop();
      connections.leaveAll(stopping());
      const isFinished = await calls.drain(limits.drainTimeoutMs);
      if (!isFinished) logger.warn({ calls: calls.inProgress() }, "calls are cut off: they did not finish in time");
      await listener.close(isFinished ? goodbyeMs : 0);
    },
  };
}

/** Listens itself and hands the connections on: grpc-js neither bounds their number nor can it end all of them. */
async function listen(below: Http2Below, { host, port }: GrpcServerOptions, { maxConnections }: GrpcLimits) {
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.once("finish", () => setTimeout(() => socket.destroy(), goodbyeMs).unref());
    below.inject(socket);
  });
  listener.maxConnections = maxConnections;
  listener.listen(port, host);
  await once(listener, "listening");
  const closed = once(listener, "close");

  return {
    port: (listener.address() as AddressInfo).port,
    /** Those who come now go elsewhere at once. */
    stop: () => void listener.close(),
    async close(graceMs: number) {
      below.close();
      const timer = setTimeout(() => sockets.forEach((socket) => socket.destroy()), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Silent, idle and old connections are closed by what both doors have in common. */
function channelOptions(limits: GrpcLimits) {
  return {
    "grpc.max_receive_message_length": limits.maxMessageBytes,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    // Its bookkeeping costs time and memory on every call, and nothing serves it.
    "grpc.enable_channelz": 0,
  };
}
