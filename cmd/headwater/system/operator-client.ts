/** Connects a command to the `headwater dev` that has a folder open. */

import { connect, type Socket } from "node:net";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type FramedSocket, framedSocket } from "../../../internal/platform/framed-socket.ts";
import { bridgePorts } from "../../../internal/platform/port-bridge.ts";
import {
  type Address,
  encodeHello,
  HELLO_TIMEOUT_MS,
  MAX_HELLO_BYTES,
  type Part,
  PROTOCOL,
  parseHello,
  readAddress,
} from "./operator-protocol.ts";

/** A port for the log, three for the documents. */
const portCounts = { log: 1, documents: 3 } as const satisfies Record<Part, number>;

/**
 * The ports of the running system's threads; undefined if none answers: it does not run, or was killed and left its address behind.
 *
 * @throws {Error} the one that runs is of another version
 */
export async function connectToRunning(directory: string, part: Part): Promise<readonly MessagePort[] | undefined> {
  const address = await readAddress(directory);
  const socket = address === undefined ? undefined : await connected(address.port);
  if (address === undefined || socket === undefined) return undefined;
  const framed = framedSocket(socket);
  const protocol = await exchangeHellos(framed, address, part);
  if (protocol === undefined) {
    framed.destroy();
    return undefined;
  }
  if (protocol !== PROTOCOL) {
    framed.destroy();
    throw new Error(`the headwater dev that runs on ${directory} is of another version than this command; restart it`);
  }
  const channels = Array.from({ length: portCounts[part] }, () => new MessageChannel());
  bridgePorts(
    framed,
    channels.map(({ port1 }) => port1),
  );
  return channels.map(({ port2 }) => port2);
}

function connected(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

/** The protocol that the server says it speaks. Whoever else listens there by now says no such thing. */
function exchangeHellos(socket: FramedSocket, { secret }: Address, part: Part): Promise<number | undefined> {
  return new Promise((resolve) => {
    const tooLate = setTimeout(() => resolve(undefined), HELLO_TIMEOUT_MS);
    const settle = (protocol: number | undefined): void => {
      clearTimeout(tooLate);
      resolve(protocol);
    };
    socket.receive((frame) => settle(parseHello(frame)?.protocol), MAX_HELLO_BYTES);
    void socket.closed.then(() => settle(undefined));
    socket.send(encodeHello({ secret, protocol: PROTOCOL, part }));
  });
}
