/** A proxy before a broker that makes bad luck to order: answers that are lost, requests that come late, silence. */

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { ISocketFactory } from "kafkajs";

/** Every request begins with its length, and then says what it wants and which number its answer will have. */
const LENGTH_BYTES = 4;

/** The kinds of request that tests single out, by their numbers in the protocol. */
export const ApiKey = {
  PRODUCE: 0,
  FETCH: 1,
  JOIN_GROUP: 11,
  HEARTBEAT: 12,
  ADD_OFFSETS_TO_TXN: 25,
  END_TXN: 26,
  TXN_OFFSET_COMMIT: 28,
} as const;

type Key = (typeof ApiKey)[keyof typeof ApiKey];

export interface LossyProxy extends AsyncDisposable {
  /** Makes a kafkajs client go through the proxy to this broker; it goes to others directly. */
  readonly socketFactory: ISocketFactory;
  /** Loses the answer to the next request of this kind, and closes its connection. Resolves when that has happened. */
  loseAnswer(apiKey: Key): Promise<void>;
  /** Changes the answer to the next request of this kind. Resolves when that has happened. */
  changeAnswer(apiKey: Key, change: (answer: Buffer) => void): Promise<void>;
  /** Keeps the next request of this kind back. Resolves when it is there. */
  hold(apiKey: Key): Promise<HeldRequest>;
  /** From now on nothing passes in either direction on the connections that are open, and nobody closes them. */
  silence(): void;
  /** The same for new connections too, until it goes on. */
  stall(): void;
  goOn(): void;
}

export interface HeldRequest {
  /** Closes the client's connection: to the client, nobody knows whether the broker got the request. */
  drop(): void;
  /** Sends the request to the broker, however late. Resolves with the answer, which the client gets too if it is still there. */
  forward(): Promise<Buffer>;
}

interface Connection {
  readonly client: Socket;
  readonly broker: Socket;
  /** What happens to answers that do not simply go to the client, by their number. */
  readonly answers: Map<number, (answer: Buffer) => void>;
  /** The broker's side outlives the client's: a request is yet to be sent on it. */
  lingering: boolean;
}

export async function startLossyProxy(address: string): Promise<LossyProxy> {
  const [brokerHost = "", brokerPort = ""] = address.split(":");
  const connections = new Set<Connection>();
  let stalled = false;
  let next: { readonly apiKey: Key; readonly take: (request: Buffer, connection: Connection) => void } | undefined;
  const server = createServer((client) => {
    const broker = connect({ host: brokerHost, port: Number(brokerPort) });
    const connection: Connection = { client, broker, answers: new Map(), lingering: false };
    connections.add(connection);
    const forget = (): void => void (client.destroyed && broker.destroyed && connections.delete(connection));
    for (const socket of [client, broker]) socket.on("error", () => socket.destroy()).on("close", forget);
    client.on("close", () => connection.lingering || broker.destroy());
    broker.on("close", () => client.destroy());
    client.on(
      "data",
      frames((request) => {
        if (next === undefined || request.readInt16BE(LENGTH_BYTES) !== next.apiKey) return broker.write(request);
        const { take } = next;
        next = undefined;
        return take(request, connection);
      }),
    );
    broker.on(
      "data",
      frames((answer) => (connection.answers.get(answer.readInt32BE(LENGTH_BYTES)) ?? ((whole) => client.write(whole)))(answer)),
    );
    if (stalled) client.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: proxyPort } = server.address() as AddressInfo;

  const forNext = <Result>(apiKey: Key, act: (request: Buffer, connection: Connection, resolve: (result: Result) => void) => void) =>
    new Promise<Result>((resolve) => {
      next = { apiKey, take: (request, connection) => act(request, connection, resolve) };
    });
  const silence = (): void => {
    for (const { client, broker } of connections) for (const socket of [client, broker]) socket.pause();
  };
  return {
    socketFactory: ({ host, port, onConnect }) =>
      port === Number(brokerPort) ? connect({ host: "127.0.0.1", port: proxyPort }, onConnect) : connect({ host, port }, onConnect),
    loseAnswer: (apiKey) =>
      forNext(apiKey, (request, { client, broker, answers }, resolve) => {
        answers.set(numberOf(request), () => {
          client.destroy();
          resolve();
        });
        broker.write(request);
      }),
    changeAnswer: (apiKey, change) =>
      forNext(apiKey, (request, { client, broker, answers }, resolve) => {
        answers.set(numberOf(request), (answer) => {
          change(answer);
          client.write(answer);
          answers.delete(numberOf(request));
          resolve();
        });
        broker.write(request);
      }),
    hold: (apiKey) =>
      forNext(apiKey, (request, connection, resolve) => {
        const { client, broker, answers } = connection;
        connection.lingering = true;
        const forward = () =>
          new Promise<Buffer>((answered, failed) => {
            broker.on("close", () => failed(new Error("the broker closed the connection")));
            answers.set(numberOf(request), (answer) => {
              answers.delete(numberOf(request));
              if (client.destroyed) broker.destroy();
              else client.write(answer);
              connection.lingering = false;
              answered(answer);
            });
            broker.write(request);
          });
        resolve({ drop: () => client.destroy(), forward });
      }),
    silence,
    stall() {
      stalled = true;
      silence();
    },
    goOn() {
      stalled = false;
      for (const { client, broker } of connections) for (const socket of [client, broker]) socket.resume();
    },
    async [Symbol.asyncDispose]() {
      for (const { client, broker } of connections) for (const socket of [client, broker]) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The number that a request's answer will have. */
function numberOf(request: Buffer): number {
  return request.readInt32BE(LENGTH_BYTES + 4);
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
