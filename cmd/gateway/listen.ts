import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { finished } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Handler, Request, Response } from "./cors.ts";

/** Longer than most calls take; orchestrators kill after 30 s. */
const DRAIN_TIMEOUT_MS = 10_000;

/** How long the last responses may take to leave. */
const GOODBYE_MS = 500;

/** A connection costs tens of kilobytes; with a file descriptor each, it stays below the usual 4096. */
const MAX_CONNECTIONS = 2_000;

/** A client that says nothing for so long holds a connection for nothing. */
const FIRST_BYTE_TIMEOUT_MS = 10_000;

/** HTTP/2 without TLS begins with "PRI * HTTP/2.0"; no method of HTTP/1.1 begins like that. */
const HTTP2_PREFACE = "PRI";

export interface Listener {
  readonly port: number;
  /** Takes no new connections and waits, bounded, for running calls. False: some are still running. */
  drain(): Promise<boolean>;
  close(): Promise<void>;
}

/** Serves HTTP/1.1 and HTTP/2 on one port, both without TLS: the first bytes of a connection tell which. */
export async function listen(handle: Handler, address: { readonly host: string; readonly port: number }): Promise<Listener> {
  const calls = countCalls(handle);
  const http1 = createHttp1Server(calls.handle);
  const http2 = createHttp2Server(calls.handle);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS, () => socket.destroy());
    // Not "data": the server that gets the socket must find what it reads still there, and HTTP/2 takes it from below.
    socket.once("readable", () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.unshift(first);
      (first.toString("latin1", 0, HTTP2_PREFACE.length) === HTTP2_PREFACE ? http2 : http1).emit("connection", socket);
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(address.port, address.host);
  await once(server, "listening");

  return {
    port: (server.address() as AddressInfo).port,
    async drain() {
      server.close();
      for (const session of sessions) session.close();
      return calls.ended(DRAIN_TIMEOUT_MS);
    },
    async close() {
      // A response that is finished may not have left yet; a session ends when all of its have.
      const ended = Promise.all([...sessions].map((session) => new Promise<void>((resolve) => session.once("close", resolve))));
      await Promise.race([ended, delay(GOODBYE_MS, undefined, { ref: false })]);
      for (const socket of sockets) socket.destroy();
    },
  };
}

function countCalls(handle: Handler) {
  let running = 0;
  let onIdle = () => {};
  return {
    handle(request: Request, response: Response) {
      running++;
      // HTTP/2 reports a response as finished only when its stream is closed, so this asks the stream.
      finished("stream" in response ? response.stream : response, { readable: false }, () => {
        // A refused request may not have been read to its end, without which its stream would stay open.
        request.resume();
        running--;
        if (running === 0) onIdle();
      });
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
