/** Messages over a socket: each is a frame of four bytes with its length, the first byte first, and then so many bytes. */

import type { Socket } from "node:net";

const HEADER_BYTES = 4;

/** What may wait to be sent before a peer that does not read is given up. */
const MAX_UNSENT_BYTES = 256 * 1024 * 1024;

export interface FramedSocket {
  /** A peer that does not read is cut off. */
  send(frame: Uint8Array): void;
  /** Sets who gets the frames from now on. A longer one than allowed ends the connection, before it is read. */
  receive(listener: (frame: Buffer) => void, maxBytes: number): void;
  /** Ends the connection behind what was sent. */
  end(): void;
  /** Ends it at once. */
  destroy(): void;
  readonly closed: Promise<void>;
}

export function framedSocket(socket: Socket): FramedSocket {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let length: number | undefined;
  let listener: ((frame: Buffer) => void) | undefined;
  let maxLength = 0;

  socket.setNoDelay(true);
  // A connection that fails is a connection that ends.
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    readFrames();
  });

  return {
    send(frame) {
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32BE(frame.length);
      socket.cork();
      socket.write(header);
      socket.write(frame);
      socket.uncork();
      if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
    },
    receive(next, maxBytes) {
      listener = next;
      maxLength = maxBytes;
      readFrames();
    },
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    closed: new Promise((resolve) => socket.once("close", () => resolve())),
  };

  function readFrames(): void {
    while (listener !== undefined && !socket.destroyed) {
      if (length === undefined) {
        if (bytes < HEADER_BYTES) return;
        length = take(HEADER_BYTES).readUInt32BE();
        if (length > maxLength) {
          socket.destroy();
          return;
        }
      }
      if (bytes < length) return;
      const frame = take(length);
      length = undefined;
      listener(frame);
    }
  }

  function take(count: number): Buffer {
    const [first = Buffer.alloc(0)] = chunks;
    const all = chunks.length > 1 ? Buffer.concat(chunks) : first;
    chunks = [all.subarray(count)];
    bytes -= count;
    return all.subarray(0, count);
  }
}
