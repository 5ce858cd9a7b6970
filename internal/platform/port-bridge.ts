/** Carries message ports over a connection, so that another process uses a thread as if it were its own. */

import { deserialize, serialize } from "node:v8";
import type { MessagePort } from "node:worker_threads";
import type { FramedSocket } from "./framed-socket.ts";

/** Longer than any page of records or documents, short enough not to take a process's memory. */
const MAX_FRAME_BYTES = 128 * 1024 * 1024;

export interface BridgeOptions {
  /** Whether a message may be passed on to the port with this number. One that may not ends the connection. Default: all may. */
  readonly accepts?: (port: number, message: unknown) => boolean;
}

/** Both ends give the ports in the same order. When either side closes all of its ports, or the connection ends, all ports close. */
export function bridgePorts(socket: FramedSocket, ports: readonly MessagePort[], { accepts = () => true }: BridgeOptions = {}): void {
  const open = new Set(ports);
  ports.forEach((port, number) => {
    port.on("message", (message: unknown) => socket.send(serialize([number, message])));
    port.on("close", () => {
      open.delete(port);
      if (open.size === 0) socket.end();
    });
  });
  socket.receive((frame) => {
    const [number, message] = parseFrame(frame);
    const port = ports[number];
    if (port === undefined || !accepts(number, message)) socket.destroy();
    else port.postMessage(message);
  }, MAX_FRAME_BYTES);
  void socket.closed.then(() => {
    for (const port of ports) port.close();
  });
}

/** What is none has no port's number. */
function parseFrame(frame: Buffer): readonly [port: number, message: unknown] {
  try {
    const parsed: unknown = deserialize(frame);
    return Array.isArray(parsed) && Number.isInteger(parsed[0]) ? [parsed[0] as number, parsed[1]] : [-1, undefined];
  } catch {
    return [-1, undefined];
  }
}
