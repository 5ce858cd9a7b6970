import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { constants, createServer as createHttp2Server, type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { finished } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { stopping } from "../../internal/grpc/admission.ts";
import { watchConnections } from "../../internal/grpc/connections.ts";
import type { GrpcLimits } from "../../internal/grpc/limits.ts";
import { grpcTimeout, maxTimerMs, parseGrpcTimeout } from "../../internal/grpc/timeouts.ts";
import type { Handler, Request, Response } from "./cors.ts";

/** How long the last responses may take to leave. */
const GOODBYE_MS = 500;

/** How often Node looks for requests that do not arrive. */
const CHECK_EVERY_MS = 1_000;

/** HTTP/2 without TLS begins with "PRI * HTTP/2.0"; no method of HTTP/1.1 begins like that. */
const HTTP2_PREFACE = Buffer.from("PRI");

/** Of this method the client sends requests as long as it likes. */
const STREAMING_PATH = "/headwater.orders.v1.OrderCommandService/Execute";

export interface Listener {
  readonly port: number;
  callsInProgress(): number;
  /**
   * Takes no new connections, sends clients elsewhere, and waits, bounded, for running calls.
   * False: some are still running.
   */
  drain(): Promise<boolean>;
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: GrpcLimits;
}

/** Serves HTTP/1.1 and HTTP/2 on one port, both without TLS: the first bytes of a connection tell which. */
export async function listen(handle: Handler, { host, port, limits }: ListenOptions): Promise<Listener> {
  const calls = countCalls(handle, limits);
  // It is the server that listens: Node bounds the time of requests only for one that does.
  const http1 = createHttp1Server(
    {
      headersTimeout: limits.receiveTimeoutMs,
      requestTimeout: limits.receiveTimeoutMs,
      connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, limits.receiveTimeoutMs),
      keepAliveTimeout: limits.maxConnectionIdleMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: limits.keepaliveTimeMs,
    },
    calls.handle,
  );
  const http2 = createHttp2Server(
    {
      settings: { maxConcurrentStreams: limits.maxStreamsPerConnection },
      streamResetBurst: limits.maxResetsAtOnce,
      streamResetRate: limits.maxResetsPerSecond,
    },
    calls.handle,
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
    callsInProgress: calls.inProgress,
    async drain() {
      calls.close();
      http1.close();
      connections.leaveAll(stopping());
      return calls.ended(limits.drainTimeoutMs);
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
  socket.setTimeout(timeoutMs, () => socket.destroy());
  // Not "data": the server that gets the socket must find what it reads still there, and HTTP/2
  // takes it from below.
  socket.on("readable", function read() {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    first = Buffer.concat([first, chunk]);
    const length = Math.min(first.length, HTTP2_PREFACE.length);
    const isHttp2 = first.subarray(0, length).equals(HTTP2_PREFACE.subarray(0, length));
    if (isHttp2 && length < HTTP2_PREFACE.length) return;
    socket.setTimeout(0);
    socket.removeAllListeners("timeout");
    socket.off("readable", read);
    socket.unshift(first);
    serve(isHttp2);
  });
}

function countCalls(handle: Handler, limits: GrpcLimits) {
  let running = 0;
  let bytesHeld = 0;
  let isClosing = false;
  let onIdle = () => {};
  return {
    inProgress: () => running,
    close() {
      isClosing = true;
    },
    handle(request: Request, response: Response) {
      running++;
      const cutOff = () => cut(request);
      const isStreaming = request.url === STREAMING_PATH;
      const receiving = isStreaming ? undefined : setTimeout(cutOff, limits.receiveTimeoutMs);
      request.once("end", () => clearTimeout(receiving));
      let bytes = 0;
      const push = request.push.bind(request);
      request.push = (chunk: Buffer | null, encoding) => {
        // What a stream takes is handed on, message by message.
        const length = isStreaming ? 0 : (chunk?.length ?? 0);
        bytes += length;
        bytesHeld += length;
        if (bytesHeld > limits.maxRequestBytes) cutOff();
        return push(chunk, encoding);
      };
      if (isClosing && request.httpVersionMajor === 1) response.setHeader("Connection", "close");
      // HTTP/2 reports a response as finished only when its stream is closed, so this asks the stream.
      finished("stream" in response ? response.stream : response, { readable: false }, () => {
        clearTimeout(receiving);
        bytesHeld -= bytes;
        // A refused request may not have been read to its end, without which its stream would stay open.
        request.resume();
        running--;
        if (running === 0) onIdle();
      });
      boundTimeouts(request);
      handle(request, response);
    },
    ended(timeoutMs: number): Promise<boolean> {
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

function cut(request: Request): void {
  if ("stream" in request) request.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  else request.destroy();
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
