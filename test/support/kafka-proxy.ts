/** A TCP proxy before a broker that knows requests by their api, and loses, delays or holds what it is told to. */

import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { type Api, correlationIdOf, createFrames, type RequestHeader, requestHeader } from "./kafka-wire.ts";

export type Loss =
  /** The request never arrives; the client sees its connection end. */
  | "request lost"
  /** The request never arrives, and nothing more comes back on its connection. */
  | "request lost in silence"
  /** The broker does what was asked, but the client sees its connection end. */
  | "response lost"
  /** The broker does what was asked, but nothing more comes back on its connection. */
  | "response lost in silence"
  /** The client sees its connection end, and the request arrives even so, later. */
  | "request late"
  | "request delayed"
  | "response delayed";

export const losses: readonly Loss[] = [
  "request lost",
  "request lost in silence",
  "response lost",
  "response lost in silence",
  "request late",
  "request delayed",
  "response delayed",
];

/** What happens to the next request that fits. */
export interface Rule {
  readonly api: Api;
  /** Which clients, by their client id. */
  readonly client: RegExp;
  readonly loss: Loss;
  readonly delayMs: number;
}

/** A partition of the network: what is sent waits until it is over, as TCP would repeat it. */
export interface Partition {
  readonly client: RegExp;
  readonly directions: readonly ("requests" | "responses")[];
  readonly durationMs: number;
}

export interface KafkaProxy extends AsyncDisposable {
  readonly address: string;
  /** Resolves when the rule has struck; the signal takes it back. */
  strike(rule: Rule, signal: AbortSignal): Promise<boolean>;
  hold(partition: Partition): void;
  /** Ends all connections. */
  cut(): void;
  /** Ends all connections by a reset, in the middle of whatever is on its way. */
  reset(): void;
  /** Replaces bytes, of the same length, in what brokers answer to some clients, once. */
  corrupt(client: RegExp, from: Buffer, to: Buffer, signal: AbortSignal): Promise<boolean>;
}

interface Armed {
  readonly rule: Rule;
  readonly struck: () => void;
}

interface Corruption {
  readonly client: RegExp;
  readonly from: Buffer;
  readonly to: Buffer;
  readonly struck: () => void;
}

export async function startProxy(target: string): Promise<KafkaProxy> {
  const [host = "", targetPort = ""] = target.split(":");
  const connections = new Set<{ end(): void; reset(): void }>();
  const armed = new Set<Armed>();
  const corruptions = new Set<Corruption>();
  const holds: (Partition & { readonly endsAtMs: number })[] = [];
  const server = createServer((near) => serve(near));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;

  return {
    address: `127.0.0.1:${port}`,
    strike(rule, signal) {
      return arm(armed, (struck) => ({ rule, struck }), signal);
    },
    corrupt(client, from, to, signal) {
      return arm(corruptions, (struck) => ({ client, from, to, struck }), signal);
    },
    hold(partition) {
      holds.push({ ...partition, endsAtMs: performance.now() + partition.durationMs });
    },
    cut() {
      for (const connection of connections) connection.end();
    },
    reset() {
      for (const connection of connections) connection.reset();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const connection of connections) connection.end();
      await once(server, "close");
    },
  };

  function arm<Item>(items: Set<Item>, make: (struck: () => void) => Item, signal: AbortSignal): Promise<boolean> {
    const done = Promise.withResolvers<boolean>();
    const item = make(() => {
      items.delete(item);
      done.resolve(true);
    });
    items.add(item);
    signal.addEventListener("abort", () => {
      items.delete(item);
      done.resolve(false);
    });
    return done.promise;
  }

  function heldUntilMs(client: string, direction: "requests" | "responses"): number {
    const nowMs = performance.now();
    const matching = holds.filter((hold) => hold.endsAtMs > nowMs && hold.directions.includes(direction) && hold.client.test(client));
    return Math.max(0, ...matching.map(({ endsAtMs }) => endsAtMs));
  }

  function serve(near: Socket): void {
    const far = createConnection(Number(targetPort), host);
    let client = "";
    let isSilent = false;
    let lastsUntilMs = 0;
    /** What is to happen to the answers of requests that are under way. */
    const answers = new Map<number, Rule>();
    const end = (): void => {
      connections.delete(connection);
      near.destroy();
      // A request that is late still has to leave on this connection.
      setTimeout(() => far.destroy(), Math.max(0, lastsUntilMs - performance.now()));
    };
    const reset = (): void => {
      connections.delete(connection);
      near.resetAndDestroy();
      far.resetAndDestroy();
    };
    const connection = { end, reset };
    connections.add(connection);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on("error", () => undefined).on("close", end);
    }
    const toFar = createQueue((bytes) => far.writable && far.write(bytes));
    const toNear = createQueue((bytes) => near.writable && near.write(bytes));

    const requests = createFrames();
    near.on("data", (bytes) => {
      for (const frame of requests(bytes)) {
        const header = requestHeader(frame);
        client = header.clientId;
        request(frame, header);
      }
    });
    const responses = createFrames();
    far.on("data", (bytes) => {
      for (const frame of responses(bytes)) response(frame);
    });

    function request(frame: Buffer, header: RequestHeader): void {
      if (isSilent) return;
      const heldMs = heldUntilMs(client, "requests");
      const strike = [...armed].find(({ rule }) => rule.api === header.api && rule.client.test(header.clientId));
      if (strike === undefined) return toFar(frame, heldMs);
      const { rule, struck } = strike;
      struck();
      switch (rule.loss) {
        case "request lost":
          return end();
        case "request lost in silence":
          isSilent = true;
          return;
        case "request late":
          lastsUntilMs = performance.now() + rule.delayMs + 1_000;
          toFar(frame, performance.now() + rule.delayMs);
          return end();
        case "request delayed":
          return toFar(frame, performance.now() + rule.delayMs);
        case "response lost":
        case "response lost in silence":
        case "response delayed":
          answers.set(header.correlationId, rule);
          return toFar(frame, heldMs);
      }
    }

    function response(frame: Buffer): void {
      if (isSilent) return;
      const rule = answers.get(correlationIdOf(frame));
      answers.delete(correlationIdOf(frame));
      const bytes = corrupted(client, frame);
      switch (rule?.loss) {
        case "response lost":
          return end();
        case "response lost in silence":
          isSilent = true;
          return;
        case "response delayed":
          return toNear(bytes, performance.now() + (rule?.delayMs ?? 0));
        case "request lost":
        case "request lost in silence":
        case "request late":
        case "request delayed":
        case undefined:
          return toNear(bytes, heldUntilMs(client, "responses"));
      }
    }
  }

  function corrupted(client: string, frame: Buffer): Buffer {
    for (const { client: wanted, from, to, struck } of corruptions) {
      const at = wanted.test(client) ? frame.indexOf(from) : -1;
      if (at === -1) continue;
      const changed = Buffer.from(frame);
      to.copy(changed, at);
      struck();
      return changed;
    }
    return frame;
  }
}

/** Writes in order, each not before its time. */
function createQueue(write: (bytes: Buffer) => unknown): (bytes: Buffer, notBeforeMs: number) => void {
  const queue: { readonly bytes: Buffer; readonly notBeforeMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    timer = undefined;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const waitMs = next.notBeforeMs - performance.now();
      if (waitMs > 0) {
        timer = setTimeout(flush, waitMs);
        return;
      }
      queue.shift();
      write(next.bytes);
    }
  };
  return (bytes, notBeforeMs) => {
    queue.push({ bytes, notBeforeMs });
    if (timer === undefined) flush();
  };
}
