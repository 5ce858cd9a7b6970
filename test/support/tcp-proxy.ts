/** A TCP proxy before a server: it passes everything on, holds answers back and resets connections when it is told to. */

import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

/** Where a call stands when its connection is reset. */
export const resetMoments = ["before the request", "within the request", "behind the request", "within the answer"] as const;

export type ResetMoment = (typeof resetMoments)[number];

export interface ResetRule {
  /** What the beginning of a request says. */
  readonly request: string;
  readonly moment: ResetMoment;
}

export interface TcpProxy extends AsyncDisposable {
  readonly address: string;
  /** Ends all connections as a firewall that forgot them does: by a reset, in the middle of whatever is on its way. */
  reset(): void;
  /** Passes on nothing from the server until it is released. */
  hold(): void;
  heldBytes(): number;
  release(): void;
  /** From now on resets every connection on which such a request comes; undefined: none any more. */
  resetAt(rule: ResetRule | undefined): void;
  /** How many connections a rule has reset. */
  readonly struck: number;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const [host = "", targetPort = ""] = target.split(":");
  const sockets = new Set<Socket>();
  let isHolding = false;
  let held: { readonly near: Socket; readonly chunk: Buffer }[] = [];
  let rule: ResetRule | undefined;
  let struck = 0;
  const server = createServer((near) => {
    const far = createConnection(Number(targetPort), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true).on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    let cutsAnswer = false;
    const strike = (): void => {
      struck += 1;
      for (const socket of [near, far]) socket.resetAndDestroy();
    };
    const isDue = (chunk: Buffer, moment: ResetMoment): boolean => rule?.moment === moment && chunk.includes(rule.request);
    const half = (chunk: Buffer): Buffer => chunk.subarray(0, chunk.length / 2);
    near.on("data", (chunk: Buffer) => {
      if (isDue(chunk, "before the request")) return strike();
      if (isDue(chunk, "within the request")) return void far.write(half(chunk), strike);
      if (isDue(chunk, "behind the request")) return void far.write(chunk, strike);
      cutsAnswer ||= isDue(chunk, "within the answer");
      pass(far, near, chunk);
    });
    near.on("end", () => far.end());
    far.on("data", (chunk: Buffer) => {
      if (isHolding) held.push({ near, chunk });
      else if (cutsAnswer) near.write(half(chunk), strike);
      else pass(near, far, chunk);
    });
    far.on("end", () => near.end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    address: `127.0.0.1:${port}`,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    hold() {
      isHolding = true;
    },
    heldBytes: () => held.reduce((sum, { chunk }) => sum + chunk.length, 0),
    release() {
      isHolding = false;
      for (const { near, chunk } of held) near.write(chunk);
      held = [];
    },
    resetAt(next) {
      rule = next;
    },
    get struck() {
      return struck;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** As a pipe does: who reads slowly is not sent more than it has room for. */
function pass(to: Socket, from: Socket, chunk: Buffer): void {
  if (to.write(chunk)) return;
  from.pause();
  to.once("drain", () => from.resume());
}
