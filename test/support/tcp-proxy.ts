/** A TCP proxy before a server: it passes everything on, and resets connections when it is told to. */

import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  readonly address: string;
  /** Ends all connections as a firewall that forgot them does: by a reset, in the middle of whatever is on its way. */
  reset(): void;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const [host = "", targetPort = ""] = target.split(":");
  const sockets = new Set<Socket>();
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
    far.pipe(near);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    address: `127.0.0.1:${port}`,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
