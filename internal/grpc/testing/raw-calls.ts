/** Calls as HTTP/2 streams and bytes, for what no client would send. */

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { followFrames } from "../frames.ts";
import { pathOf } from "./harness.ts";

export interface RawStatus {
  /** Undefined: the stream ended without a status. */
  readonly code: number | undefined;
  readonly message: string;
  readonly info: ErrorInfo | undefined;
}

export interface RawCall {
  readonly stream: ClientHttp2Stream;
  /** How many messages have come. */
  messages(): number;
  readonly status: Promise<RawStatus>;
}

export function openSessions(address: string, count: number, settings = {}) {
  const all = Array.from({ length: count }, () => {
    const session = connect(`http://${address}`, { settings });
    return session.on("error", () => {});
  });
  const [first] = all;
  if (first === undefined) throw new Error("no session");
  return { all, first, [Symbol.dispose]: () => all.forEach((session) => session.destroy()) };
}

/** Sends the bytes and leaves the stream open. */
export function beginCall(session: ClientHttp2Session, method: DescMethod | string, bytes: Buffer, headers = {}): RawCall {
  const path = typeof method === "string" ? method : pathOf(method);
  const required = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  const stream = session.request({ ...required, ...headers }, { endStream: false });
  const frames = followFrames();
  let messages = 0;
  const status = new Promise<RawStatus>((resolve) => {
    const note = (received: IncomingHttpHeaders): void => {
      if (received["grpc-status"] !== undefined) resolve(statusOf(received));
    };
    stream.on("response", note).on("trailers", note);
    stream.on("close", () => resolve({ code: undefined, message: "", info: undefined }));
  });
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    messages += frames.take(chunk).length;
  });
  stream.write(bytes);
  return { stream, messages: () => messages, status };
}

/** The same with the end of the request. */
export function makeCall(...args: Parameters<typeof beginCall>): RawCall {
  const call = beginCall(...args);
  call.stream.end();
  return call;
}

function statusOf(headers: IncomingHttpHeaders): RawStatus {
  const details = headers["grpc-status-details-bin"];
  const status = typeof details === "string" ? fromBinary(StatusSchema, Buffer.from(details, "base64")) : undefined;
  const info = status?.details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((each) => each !== undefined);
  return { code: Number(headers["grpc-status"]), message: decodeURIComponent(String(headers["grpc-message"] ?? "")), info };
}

/** Connections of which the client never closes its side by itself. */
export function openSockets(port: number, count: number) {
  const all = Array.from({ length: count }, (): Socket => {
    const socket = connectSocket({ port, host: "127.0.0.1", allowHalfOpen: true });
    return socket.on("error", () => {}).resume();
  });
  const [first] = all;
  if (first === undefined) throw new Error("no socket");
  return { all, first, [Symbol.dispose]: () => all.forEach((socket) => socket.destroy()) };
}

export function isDisconnected(socket: Socket): boolean {
  return socket.readableEnded || socket.closed;
}

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const frameType = { data: 0, headers: 1, resetStream: 3, settings: 4, windowUpdate: 8 } as const;
const endHeaders = 4;
const endStream = 1;
const maxWindow = 2 ** 31 - 1;

export function http2Frame(type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** What a connection of HTTP/2 begins with. */
export const greeting = Buffer.concat([preface, http2Frame(frameType.settings, 0, 0)]);

/** The same of a client that asks the server to send whatever it has. */
export const greetingWithoutBounds = (() => {
  const initialWindow = Buffer.alloc(6);
  initialWindow.writeUInt16BE(4, 0);
  initialWindow.writeUInt32BE(maxWindow, 2);
  const more = Buffer.alloc(4);
  more.writeUInt32BE(maxWindow - 65_535);
  return Buffer.concat([preface, http2Frame(frameType.settings, 0, 0, initialWindow), http2Frame(frameType.windowUpdate, 0, 0, more)]);
})();

/** So many calls with one request each. */
export function callFrames(path: string, request: Buffer, count: number): Buffer {
  const frames = Array.from({ length: count }, (_, index) => 2 * index + 1).flatMap((id) => [
    http2Frame(frameType.headers, endHeaders, id, requestHeaders(path)),
    http2Frame(frameType.data, endStream, id, request),
  ]);
  return Buffer.concat(frames);
}

/**
 * POST and http are in HPACK's static table, as are the names of the other headers; their values
 * are literal.
 */
export function requestHeaders(path: string): Buffer {
  const literal = (name: readonly number[], value: string) => Buffer.from([...name, value.length, ...Buffer.from(value)]);
  const [authority, pathName, contentType] = [[0x01], [0x04], [0x0f, 0x10]] as const;
  return Buffer.concat([
    Buffer.from([0x83, 0x86]),
    literal(authority, "localhost"),
    literal(pathName, path),
    literal(contentType, "application/grpc"),
  ]);
}

/** Makes calls and takes them back at once. */
export function takenBack(path: string, count: number): Buffer {
  const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
  const calls = Array.from({ length: count }, (_, index) => 2 * index + 1).flatMap((id) => [
    http2Frame(frameType.headers, endHeaders, id, requestHeaders(path)),
    http2Frame(frameType.resetStream, 0, id, cancel),
  ]);
  return Buffer.concat(calls);
}
