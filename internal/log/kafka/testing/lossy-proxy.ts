/** A proxy before a broker that loses answers: what was asked has happened, but the one who asked is not told. */

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { ISocketFactory } from "kafkajs";

/** Every request begins with its length, and then says what it wants and which number its answer will have. */
const LENGTH_BYTES = 4;

export interface LossyProxy extends AsyncDisposable {
  /** Makes a kafkajs client go through the proxy, whatever address the broker tells it. */
  readonly socketFactory: ISocketFactory;
  /** Loses the answer to the next request of this kind, and closes its connection. Resolves when that has happened. */
  loseAnswer(apiKey: number): Promise<void>;
}

export async function startLossyProxy(address: string): Promise<LossyProxy> {
  const [host = "", port = ""] = address.split(":");
  const sockets = new Set<Socket>();
  let doomed: { readonly apiKey: number; readonly lost: () => void } | undefined;
  const server = createServer((client) => {
    const broker = connect({ host, port: Number(port) });
    const answersToLose = new Map<number, () => void>();
    const end = (): void => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket
        .on("error", end)
        .on("close", end)
        .on("close", () => sockets.delete(socket));
    }
    client.on(
      "data",
      frames((frame) => {
        if (doomed !== undefined && frame.readInt16BE(LENGTH_BYTES) === doomed.apiKey) {
          answersToLose.set(frame.readInt32BE(LENGTH_BYTES + 4), doomed.lost);
          doomed = undefined;
        }
        broker.write(frame);
      }),
    );
    broker.on(
      "data",
      frames((frame) => {
        const lost = answersToLose.get(frame.readInt32BE(LENGTH_BYTES));
        if (lost === undefined) return client.write(frame);
        lost();
        return end();
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: proxyPort } = server.address() as AddressInfo;
  return {
    socketFactory: ({ onConnect }) => connect({ host: "127.0.0.1", port: proxyPort }, onConnect),
    loseAnswer(apiKey) {
      const { promise, resolve } = Promise.withResolvers<void>();
      doomed = { apiKey, lost: resolve };
      return promise;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Cuts a stream into whole requests or answers. */
function frames(take: (frame: Buffer) => unknown): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= LENGTH_BYTES && rest.length >= LENGTH_BYTES + rest.readInt32BE(0)) {
      const end = LENGTH_BYTES + rest.readInt32BE(0);
      take(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}
