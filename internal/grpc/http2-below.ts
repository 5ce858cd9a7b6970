/**
 * The HTTP/2 server below grpc-js. grpc-js has no options for what it bounds and no place to look
 * at a call before it does; its private members have. Tests hold what depends on them.
 */

import { constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { type StatusError, statusOf, toGrpcStatus } from "./errors.ts";
import type { GrpcLimits } from "./limits.ts";
import { resetUnlessEnded } from "./resets.ts";
import { screen } from "./screening.ts";

/** More would be reset by Node without a word: these are counted, to be refused in words. */
const maxCountedHeaders = 1_000;

export interface Http2Below {
  readonly http2: Http2Server;
  /** Serves a connection. */
  inject(socket: Socket): void;
  /** Takes no more, and closes those that carry nothing. */
  close(): void;
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: readonly string[]) => void;

export function openHttp2Below(server: Server, limits: GrpcLimits, errorDomain: string): Http2Below {
  Object.assign(server["commonServerOptions"], {
    maxHeaderListPairs: maxCountedHeaders,
    streamResetBurst: limits.maxResetsAtOnce,
    streamResetRate: limits.maxResetsPerSecond,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const [http2] = server["http2Servers"].keys();
  const [serve] = http2?.listeners("stream") ?? [];
  if (http2 === undefined || serve === undefined) throw new TypeError("grpc-js keeps its HTTP/2 server elsewhere now");

  const screening = { isKnown: (path: string) => server["handlers"].has(path), maxHeaders: limits.maxHeaders };
  const listener: StreamListener = (stream, headers, flags, rawHeaders) => {
    try {
      // grpc-js itself answers what is no call at all.
      if (isCall(headers)) screen(headers, rawHeaders.length / 2, screening);
    } catch (error) {
      // It throws nothing else.
      return refuse(stream, error as StatusError);
    }
    (serve as StreamListener)(stream, headers, flags, rawHeaders);
  };
  http2.removeAllListeners("stream");
  http2.on("stream", listener);

  return { http2: http2 as Http2Server, inject: (socket) => injector.injectConnection(socket), close: () => injector.destroy() };

  function refuse(stream: ServerHttp2Stream, error: StatusError): void {
    const { code, details, metadata } = toGrpcStatus(statusOf(error, errorDomain));
    stream.on("error", () => undefined);
    stream.resume();
    stream.respond(
      {
        [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
        "grpc-status": code,
        "grpc-message": encodeURI(details),
        ...metadata.toHttp2Headers(),
      },
      { endStream: true },
    );
    resetUnlessEnded(stream, limits.sendTimeoutMs);
  }
}

function isCall(headers: IncomingHttpHeaders): boolean {
  return headers["content-type"]?.startsWith("application/grpc") ?? false;
}
