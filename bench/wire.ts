/** What the bench's own gRPC clients put on the wire. */

import type { DescMethod } from "@bufbuild/protobuf";

/** A call as it goes over the wire. */
export interface Call {
  readonly path: string;
  readonly request: Uint8Array;
}

export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** A message as gRPC frames it: a byte that says it is not compressed, and its length. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

/** Calls with each message as it is complete; what it returns takes the bytes as they come. */
export function createUnframing(onMessage: (message: Uint8Array) => void): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    while (rest.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) return;
      onMessage(rest.subarray(FRAME_HEADER_BYTES, end));
      rest = rest.subarray(end);
    }
  };
}

/** A time that two processes of one machine understand alike, in milliseconds since 1970. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

const FRAME_HEADER_BYTES = 5;
