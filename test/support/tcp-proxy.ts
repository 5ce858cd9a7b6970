/** A TCP proxy before a server: it passes everything on, holds answers back and resets connections when it is told to. */

import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  readonly address: string;
  /** Ends all connections as a firewall that forgot them does: by a reset, in the middle of whatever is on its way. */
  reset(): void;
  /** Passes on nothing from the server until it is released. */
  hold(): void;
  heldBytes(): number;
  release(): void;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const [host = "", targetPort = ""] = target.split(":");
  const sockets = new Set<Socket>();
  let isHolding = false;
  let held: { readonly near: Socket; readonly chunk: Buffer }[] = [];
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
    near.pipe(far);
    far.on("data", (chunk: Buffer) => {
      if (isHolding) held.push({ near, chunk });
      else near.write(chunk);
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
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
