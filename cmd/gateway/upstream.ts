/**
 * Connections to a service: to all addresses of its name, and for watches apart from those for
 * calls.
 */

import { lookup } from "node:dns/promises";
import type { ClientHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { defaultLimits } from "../../internal/grpc/limits.ts";

/**
 * A service that vanished is noticed while calls wait for it; one that is only busy must not lose
 * its connections.
 */
const PINGS = { pingIntervalMs: 5_000, pingTimeoutMs: defaultLimits.keepaliveTimeoutMs };

/** A server that was added has a share of the calls after so long. */
const RESOLVE_EVERY_MS = 10_000;

/** Behind one address may be several servers. */
const LEAST_CONNECTIONS = 2;

/** More calls on a connection would wait there without a word: another one is made before. */
const FULL_AT = defaultLimits.maxStreamsPerConnection * 0.9;

const HTTP_PORT = 80;

/** Enough for all streams that a gateway may have open, however unevenly they lie. */
const MOST_CONNECTIONS = 64;

/** A handshake whose first packets are lost is repeated twice by then; an address that says nothing at all would hold calls for minutes. */
const CONNECT_WITHIN_MS = 5_000;

/** An address that cannot be reached is tried last for so long, at least: longer than it may take to find that out. */
const AVOIDED_FOR_MS = 2 * CONNECT_WITHIN_MS;

export interface Upstream {
  readonly transport: Transport;
  close(): void;
}

/** How the addresses of a service's name are found. */
export interface Resolution {
  /** Default: the system's, as for every other program. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
  /** Default: 10 s. */
  readonly resolveEveryMs?: number;
}

export function connectUpstream(baseUrl: string, resolution: Resolution = {}): Upstream {
  const [calls, streams] = [new Connections(baseUrl, resolution), new Connections(baseUrl, resolution)];
  const [forCalls, forStreams] = [calls, streams].map((sessionManager) => createGrpcTransport({ baseUrl, sessionManager }));
  if (forCalls === undefined || forStreams === undefined) throw new TypeError("two transports were made");
  return {
    transport: { unary: forCalls.unary, stream: forStreams.stream },
    close() {
      calls.abort();
      streams.abort();
    },
  };
}

interface Connection {
  readonly address: string;
  readonly manager: Http2SessionManager;
  calls: number;
  failedAtMs: number;
}

/** Gives each call to the connection that carries least. */
class Connections {
  readonly authority: string;
  readonly #hostname: string;
  readonly #port: number;
  readonly #owners = new WeakMap<ClientHttp2Stream, Connection>();
  #connections: Connection[] = [];
  #addresses: readonly string[] = [];
  #resolving: Promise<void> | undefined;
  #resolvedAtMs = Number.NEGATIVE_INFINITY;
  #turn = 0;
  readonly #resolveName: (hostname: string) => Promise<readonly string[]>;
  readonly #resolveEveryMs: number;

  constructor(baseUrl: string, { resolve = resolveBySystem, resolveEveryMs = RESOLVE_EVERY_MS }: Resolution) {
    this.#resolveName = resolve;
    this.#resolveEveryMs = resolveEveryMs;
    const { origin, hostname, port } = new URL(baseUrl);
    this.authority = origin;
    this.#hostname = hostname.replace(/^\[|\]$/g, "");
    this.#port = Number(port || HTTP_PORT);
  }

  async request(...args: Parameters<Http2SessionManager["request"]>): Promise<ClientHttp2Stream> {
    let failure: unknown = new Error(`${this.#hostname} has no address`);
    if (performance.now() - this.#resolvedAtMs > this.#resolveEveryMs) {
      const resolving = (this.#resolving ??= this.#resolve());
      // Addresses that are known serve meanwhile, however long the resolver takes.
      if (this.#addresses.length === 0) await resolving;
    }
    for (const connection of this.#candidates()) {
      // In the same moment, and before it is connected: calls that come together must not choose the same one.
      connection.calls++;
      try {
        const stream = await connection.manager.request(...args);
        this.#owners.set(stream, connection);
        stream.once("close", () => connection.calls--);
        return stream;
      } catch (error) {
        connection.calls--;
        connection.failedAtMs = performance.now();
        failure = error;
      }
    }
    throw failure;
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    this.#owners.get(stream)?.manager.notifyResponseByteRead(stream);
  }

  abort(reason?: Error): void {
    for (const { manager } of this.#connections) manager.abort(reason);
  }

  /** The connections to the present addresses, the best first. */
  #candidates(): readonly Connection[] {
    const nowMs = performance.now();
    const isAvoided = ({ failedAtMs }: Connection): boolean => nowMs - failedAtMs < AVOIDED_FOR_MS;
    const usable = this.#connections.filter(({ address }) => this.#addresses.includes(address));
    const least = Math.min(...usable.filter((each) => !isAvoided(each)).map(({ calls }) => calls));
    if (Number.isFinite(least) && least >= FULL_AT && this.#connections.length < MOST_CONNECTIONS) {
      const [first] = usable.filter(({ calls }) => calls === least);
      if (first !== undefined) usable.push(this.#add(first.address));
    }
    this.#turn++;
    const rotated = usable.map((_, index) => usable[(index + this.#turn) % usable.length] as Connection);
    return rotated.sort((a, b) => Number(isAvoided(a)) - Number(isAvoided(b)) || a.calls - b.calls);
  }

  async #resolve(): Promise<void> {
    try {
      this.#addresses = await this.#resolveName(this.#hostname);
      this.#resolvedAtMs = performance.now();
    } catch (error) {
      if (this.#addresses.length === 0) throw error;
    } finally {
      this.#resolving = undefined;
    }
    for (const gone of this.#connections.filter(({ address, calls }) => calls === 0 && !this.#addresses.includes(address)))
      gone.manager.abort();
    this.#connections = this.#connections.filter(({ address, calls }) => calls > 0 || this.#addresses.includes(address));
    const wanted = Math.max(1, Math.ceil(LEAST_CONNECTIONS / Math.max(1, this.#addresses.length)));
    for (const address of this.#addresses) {
      while (this.#connections.filter((each) => each.address === address).length < wanted) this.#add(address);
    }
  }

  #add(address: string): Connection {
    const manager = new Http2SessionManager(this.authority, PINGS, { createConnection: () => connectTo(address, this.#port) });
    const connection = { address, manager, calls: 0, failedAtMs: Number.NEGATIVE_INFINITY };
    this.#connections.push(connection);
    return connection;
  }
}

function connectTo(host: string, port: number): Socket {
  const socket = connect({ host, port, timeout: CONNECT_WITHIN_MS });
  const error = Object.assign(new Error(`${host} does not answer`), { code: "ETIMEDOUT" });
  socket.once("timeout", () => socket.destroy(error));
  socket.once("connect", () => socket.setTimeout(0));
  return socket;
}

async function resolveBySystem(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address);
}
