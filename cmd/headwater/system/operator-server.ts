/** Lets operators' commands use the log and the documents of this process, while it has their folder open. */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { MessagePort } from "node:worker_threads";
import { portsOfDocuments } from "../../../internal/documents/embedded/connect.ts";
import type { EmbeddedDocuments } from "../../../internal/documents/embedded/open.ts";
import { documentsCalls } from "../../../internal/documents/embedded/protocol.ts";
import type { EmbeddedLog } from "../../../internal/log/embedded/open.ts";
import { logCalls } from "../../../internal/log/embedded/protocol.ts";
import { type FramedSocket, framedSocket } from "../../../internal/platform/framed-socket.ts";
import { bridgePorts } from "../../../internal/platform/port-bridge.ts";
import { isCallMessage } from "../../../internal/platform/port-rpc.ts";
import {
  encodeHello,
  HELLO_TIMEOUT_MS,
  type Hello,
  MAX_HELLO_BYTES,
  type Part,
  PROTOCOL,
  parseHello,
  removeAddress,
  writeAddress,
} from "./operator-protocol.ts";

/** A command has two. */
const MAX_CONNECTIONS = 64;

const SECRET_BYTES = 32;

interface Served {
  readonly log: Pick<EmbeddedLog, "connect">;
  readonly documents: Pick<EmbeddedDocuments, "connect">;
}

/** Listens on this machine only, at a free port that a file in the folder tells, until it is disposed of. */
export async function startOperatorServer(directory: string, served: Served): Promise<AsyncDisposable> {
  const secret = randomBytes(SECRET_BYTES).toString("hex");
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    welcome(framedSocket(socket), secret, served);
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // It listens on a port, not on a path.
  await writeAddress(directory, { port: (server.address() as AddressInfo).port, secret });
  return {
    async [Symbol.asyncDispose]() {
      await removeAddress(directory);
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function welcome(socket: FramedSocket, secret: string, served: Served): void {
  const tooLate = setTimeout(socket.destroy, HELLO_TIMEOUT_MS);
  void socket.closed.then(() => clearTimeout(tooLate));
  socket.receive((frame) => {
    clearTimeout(tooLate);
    const hello = parseHello(frame);
    if (hello === undefined || !isSecret(hello.secret, secret)) {
      socket.destroy();
      return;
    }
    socket.send(encodeHello({ protocol: PROTOCOL }));
    if (hello.protocol === PROTOCOL && isPart(hello.part)) serve(socket, hello.part, served);
    else socket.end();
  }, MAX_HELLO_BYTES);
}

function serve(socket: FramedSocket, part: Part, { log, documents }: Served): void {
  const ports: readonly MessagePort[] = part === "log" ? [log.connect()] : portsOfDocuments(documents.connect());
  const calls: Readonly<Record<string, true>> = part === "log" ? logCalls : documentsCalls;
  bridgePorts(socket, ports, { accepts: (_, message) => isCallMessage(message, calls) });
}

/** Compared such that the time it takes tells nothing. */
function isSecret(said: Hello["secret"] | undefined, secret: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return typeof said === "string" && timingSafeEqual(hash(said), hash(secret));
}

function isPart(part: unknown): part is Part {
  return part === "log" || part === "documents";
}
