import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { cors } from "@connectrpc/connect";

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;
export type Handler = (request: Request, response: Response) => void;

/**
 * What pages may send beside what the protocols need: credentials, who they act for, and traces.
 */
const ALLOWED_HEADERS = [...cors.allowedHeaders, "Authorization", "Headwater-Actor", "Traceparent", "Tracestate", "X-Request-Id"].join(
  ", ",
);

/** What pages may read beside what the protocols need: how fresh an answer is, which Connect puts among the headers. */
const EXPOSED_HEADERS = [...cors.exposedHeaders, "Headwater-Latest-Event-At", "Trailer-Headwater-Latest-Event-At"].join(", ");

/** Browsers keep the answer to a preflight for two hours at most. */
const MAX_AGE_S = 7200;

/** Lets pages of the gateway's own origin, of localhost and of the allowed origins call; a browser keeps the answers from all others. */
export function withCors(handle: Handler, allowedOrigins: readonly string[]): Handler {
  const allowed = new Set(allowedOrigins);
  return (request, response) => {
    const { origin } = request.headers;
    // The answer differs by origin, which caches must know.
    response.setHeader("Vary", "Origin");
    if (origin !== undefined && (allowed.has("*") || allowed.has(origin) || isOwn(origin, request) || isLocal(origin))) {
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Access-Control-Expose-Headers", EXPOSED_HEADERS);
    }
    if (request.method !== "OPTIONS") {
      handle(request, response);
      return;
    }
    response.setHeader("Access-Control-Allow-Methods", cors.allowedMethods.join(", "));
    response.setHeader("Access-Control-Allow-Headers", ALLOWED_HEADERS);
    response.setHeader("Access-Control-Max-Age", String(MAX_AGE_S));
    response.statusCode = 204;
    response.end();
  };
}

function isOwn(origin: string, request: Request): boolean {
  const host = "authority" in request ? request.authority : request.headers.host;
  return URL.parse(origin)?.host === host;
}

function isLocal(origin: string): boolean {
  const hostname = URL.parse(origin)?.hostname;
  return hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
}
