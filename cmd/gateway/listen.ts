import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { stopping } from "../../internal/grpc/admission.ts";
import { watchConnections } from "../../internal/grpc/connections.ts";
import type { GrpcLimits } from "../../internal/grpc/limits.ts";
import { afterIdle } from "../../internal/grpc/timeouts.ts";
import type { Request, Response } from "./cors.ts";

/** How long the last responses may take to leave. */
const GOODBYE_MS = 500;

/** How often Node looks for requests that do not arrive. */
const CHECK_EVERY_MS = 1_000;

/** HTTP/2 without TLS begins with "PRI * HTTP/2.0"; no method of HTTP/1.1 begins like that. */
const HTTP2_PREFACE = Buffer.from("PRI");

/** More would be reset by Node without a word: these are counted, to be refused in words. */
const MAX_COUNTED_HEADERS = 1_000;

/** Serves a request; `leaving` aborts, with the reason, when its connection is about to be closed. */
export type Serve = (request: Request, response: Response, leaving: AbortSignal) => void;

export interface Listener {
  readonly port: number;
  /** Takes no new connections, and sends clients elsewhere. */
  leave(): void;
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: GrpcLimits;
}

/** Serves HTTP/1.1 and HTTP/2 on one port, both without TLS: the first bytes of a connection tell which. */
export async function listen(serve: Serve, { host, port, limits }: ListenOptions): Promise<Listener> {
  // Connections of HTTP/1.1 carry one call each, so they are not left for their age.
  const http1Leaving = new AbortController();
  // It is the server that listens: Node bounds the time of requests only for one that does.
  const http1 = createHttp1Server(
    {
      headersTimeout: limits.receiveTimeoutMs,
      // Later than a call is given up, which is answered in words.
      requestTimeout: 2 * limits.receiveTimeoutMs,
      connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, limits.receiveTimeoutMs),
      keepAliveTimeout: limits.maxConnectionIdleMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: limits.keepaliveTimeMs,
    },
    (request, response) => {
      if (http1Leaving.signal.aborted) response.setHeader("Connection", "close");
      serve(request, response, http1Leaving.signal);
    },
  );
  const http2 = createHttp2Server(
    {
      settings: { maxConcurrentStreams: limits.maxStreamsPerConnection },
      streamResetBurst: limits.maxResetsAtOnce,
      streamResetRate: limits.maxResetsPerSecond,
      maxHeaderListPairs: MAX_COUNTED_HEADERS,
    },
    (request, response) => serve(request, response, connections.leaving(request.stream.session)),
  );
  const connections = watchConnections(http2, limits);
  const sockets = new Set<Socket>();
  const [serveHttp1] = http1.listeners("connection");
  if (serveHttp1 === undefined) throw new TypeError("Node serves HTTP/1.1 elsewhere now");
  http1.removeAllListeners("connection");
  http1.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.once("finish", () => setTimeout(() => socket.destroy(), GOODBYE_MS).unref());
    socket.on("error", () => socket.destroy());
    whenKnown(socket, limits.receiveTimeoutMs, (isHttp2) => {
      if (isHttp2) http2.emit("connection", socket);
      else serveHttp1.call(http1, socket);
    });
  });
  http1.maxConnections = limits.maxConnections;
  http1.listen(port, host);
  await once(http1, "listening");

  return {
    port: (http1.address() as AddressInfo).port,
    leave() {
      http1.close();
      http1Leaving.abort(stopping());
      connections.leaveAll(stopping());
    },
    async close() {
      // A response that is finished may not have left yet; a session ends when all of its have.
      await Promise.race([sessionsEnded(http2), delay(GOODBYE_MS, undefined, { ref: false })]);
      for (const socket of sockets) socket.destroy();
    },
  };

  async function sessionsEnded(server: Http2Server): Promise<void> {
    server.close();
    while (sockets.size > 0) await Promise.race([...sockets].map((socket) => once(socket, "close")));
  }
}

/** Reads the first bytes of a connection, however they are cut, and puts them back. */
function whenKnown(socket: Socket, timeoutMs: number, serve: (isHttp2: boolean) => void): void {
  let first = Buffer.alloc(0);
  const silent = afterIdle(timeoutMs, () => socket.destroy());
  socket.once("close", () => silent[Symbol.dispose]());
  // Not "data": the server that gets the socket must find what it reads still there, and HTTP/2
  // takes it from below.
  socket.on("readable", function read() {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    first = Buffer.concat([first, chunk]);
    const length = Math.min(first.length, HTTP2_PREFACE.length);
    const isHttp2 = first.subarray(0, length).equals(HTTP2_PREFACE.subarray(0, length));
    if (isHttp2 && length < HTTP2_PREFACE.length) return;
    silent[Symbol.dispose]();
    socket.off("readable", read);
    socket.unshift(first);
    serve(isHttp2);
  });
}
