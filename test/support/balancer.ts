/** Connections to any of several servers in turn, as a service in front of them deals them out. */

import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

export interface Balancer extends AsyncDisposable {
  readonly address: string;
}

/** A connection goes to the next server that takes it; when that one dies, so does the connection. */
export async function startBalancer(addresses: readonly string[]): Promise<Balancer> {
  const sockets = new Set<Socket>();
  let turn = 0;
  const server = createServer((near) => {
    turn += 1;
    forward(near, [...addresses.slice(turn % addresses.length), ...addresses.slice(0, turn % addresses.length)]);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const listening = server.address();
  return {
    address: `127.0.0.1:${typeof listening === "object" ? listening?.port : ""}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };

  function forward(near: Socket, [address, ...others]: readonly string[]): void {
    if (address === undefined) return void near.destroy();
    const [host = "", port = ""] = address.split(":");
    const far = createConnection(Number(port), host);
    const onRefused = () => forward(near, others);
    far.once("error", onRefused).once("connect", () => {
      far.off("error", onRefused);
      for (const [from, to] of [[near, far] as const, [far, near] as const]) {
        sockets.add(from);
        from
          .on("error", () => to.destroy())
          .on("close", () => {
            sockets.delete(from);
            to.destroy();
          });
        from.pipe(to);
      }
    });
  }
}
