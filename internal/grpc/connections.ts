/**
 * What holds for every HTTP/2 connection of a server, whatever is served on it: one that says
 * nothing, does not answer or is not used is closed, and one that is old is left for another.
 */

import type { Http2Server, Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { type StatusError, unavailable } from "./errors.ts";
import type { GrpcLimits } from "./limits.ts";

/**
 * Ages differ by so much in both directions, so that connections made together do not end together.
 */
const ageJitter = 0.1;

/** How long the last frames of a connection that is ended may take to leave. */
const GOODBYE_MS = 500;

/** Node lets nobody destroy the socket of a session through the session. */
const sockets = new WeakMap<Http2Session, Socket>();

export interface Connections {
  /**
   * Aborts when a connection is about to be closed, with the reason that its streams end with.
   * Calls that have an end of their own may finish.
   */
  leaving(session: object | undefined): AbortSignal;
  /**
   * Tells all peers to go elsewhere, by GOAWAY with the last call that was taken. A later one, sent
   * before its peer heard of it, was not begun, and the peer may make it again.
   */
  leaveAll(reason: StatusError): void;
}

/** Watches over the connections that a server takes from now on. */
export function watchConnections(server: Http2Server, limits: GrpcLimits): Connections {
  const connections = new Map<object, Connection>();
  let accepted: Socket | undefined;
  // Node makes the session of a connection before it returns from this event.
  server.prependListener("connection", (socket: Socket) => {
    accepted = socket;
  });
  server.on("session", (session) => {
    if (accepted !== undefined) sockets.set(session, accepted);
    const connection = new Connection(session, limits);
    connections.set(session, connection);
    session.once("close", () => {
      connections.delete(session);
      connection.closed();
    });
  });
  return {
    leaving(session) {
      const connection = session === undefined ? undefined : connections.get(session);
      return connection?.leaving ?? new AbortController().signal;
    },
    leaveAll(reason) {
      for (const connection of connections.values()) connection.leave(reason);
    },
  };
}

/**
 * Ends a connection, whatever its socket takes: a session that is destroyed waits for it, and would
 * keep what it has not sent.
 */
export function endConnection(session: Http2Session): void {
  session.destroy();
  setTimeout(() => sockets.get(session)?.destroy(), GOODBYE_MS).unref();
}

class Connection {
  readonly #session: ServerHttp2Session;
  readonly #limits: GrpcLimits;
  readonly #leaving = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #openedAtMs = performance.now();
  readonly #maxAgeMs: number;
  #streams = 0;
  #idleSinceMs = this.#openedAtMs;
  #pingedAtMs = this.#openedAtMs;
  #isPinged = false;
  #hasGreeted = false;
  #isDoubted = false;
  #leavesSinceMs: number | undefined;

  constructor(session: ServerHttp2Session, limits: GrpcLimits) {
    this.#session = session;
    this.#limits = limits;
    this.#maxAgeMs = limits.maxConnectionAgeMs * (1 - ageJitter + 2 * ageJitter * Math.random());
    const { receiveTimeoutMs, maxConnectionIdleMs, maxConnectionAgeMs, keepaliveTimeMs, keepaliveTimeoutMs } = limits;
    const everyMs = Math.min(receiveTimeoutMs, maxConnectionIdleMs, maxConnectionAgeMs, keepaliveTimeMs, keepaliveTimeoutMs);
    this.#timer = setInterval(() => this.#check(performance.now()), everyMs).unref();
    session.once("remoteSettings", () => {
      this.#hasGreeted = true;
    });
    session.on("stream", (stream) => {
      this.#streams++;
      stream.once("close", () => {
        this.#streams--;
        this.#idleSinceMs = performance.now();
      });
    });
  }

  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  leave(reason: StatusError): void {
    if (this.#leavesSinceMs !== undefined) return;
    this.#leavesSinceMs = performance.now();
    this.#session.close();
    this.#leaving.abort(reason);
  }

  closed(): void {
    clearInterval(this.#timer);
  }

  #check(nowMs: number): void {
    // It closes a little later.
    if (this.#session.destroyed) return;
    const { receiveTimeoutMs, maxConnectionIdleMs, maxConnectionAgeGraceMs, keepaliveTimeMs, keepaliveTimeoutMs } = this.#limits;
    const ageMs = nowMs - this.#openedAtMs;
    const isSilent = !this.#hasGreeted && ageMs >= receiveTimeoutMs;
    // A process that was busy has not read yet what its peer has said.
    if (isSilent && !this.#isDoubted) {
      this.#isDoubted = true;
      return;
    }
    const isDeaf = this.#isPinged && nowMs - this.#pingedAtMs >= keepaliveTimeoutMs;
    const isOverdue = this.#leavesSinceMs !== undefined && nowMs - this.#leavesSinceMs >= maxConnectionAgeGraceMs;
    const isIdle = this.#streams === 0 && nowMs - this.#idleSinceMs >= maxConnectionIdleMs;
    // A session that is closed waits for a head that has come by half.
    if (isSilent || isDeaf || isOverdue || (isIdle && this.#session.closed)) return endConnection(this.#session);
    if (this.#session.closed) return;
    if (isIdle) return this.#session.close();
    if (ageMs >= this.#maxAgeMs) return this.leave(aged());
    if (!this.#isPinged && nowMs - this.#pingedAtMs >= keepaliveTimeMs) this.#ping();
  }

  #ping(): void {
    this.#pingedAtMs = performance.now();
    this.#isPinged = this.#session.ping(() => {
      this.#isPinged = false;
    });
  }
}

function aged(): StatusError {
  const message = "the connection is closed, so that connections spread over all servers; go on with the last position";
  return unavailable(message, { reason: "CONNECTION_AGED" }, 0);
}
