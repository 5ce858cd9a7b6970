import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { cors } from "@connectrpc/connect";
import { isLoopback } from "./hosts.ts";
import type { Serve } from "./listen.ts";

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/**
 * What pages may send beside what the protocols need: credentials, who they act for, and traces.
 */
const ALLOWED_HEADERS = [
  ...cors.allowedHeaders,
  "Authorization",
  "Headwater-Actor",
  "Headwater-Token",
  "Idempotency-Key",
  "Traceparent",
  "Tracestate",
  "X-Request-Id",
].join(", ");

/** What pages may read beside what the protocols need: how fresh an answer is, and the tokens to go on with, which Connect puts among the headers. */
const ANSWERED = ["Headwater-Latest-Event-At", "Headwater-Token"];
const EXPOSED_HEADERS = [...cors.exposedHeaders, ...ANSWERED, ...ANSWERED.map((name) => `Trailer-${name}`)].join(", ");

/** Browsers keep the answer to a preflight for two hours at most. */
const MAX_AGE_S = 7200;

/**
 * Lets pages of the gateway's own origin and of the allowed origins call, and of localhost if it
 * listens there only; a browser keeps the answers from all others.
 */
export function withCors(
  serve: Serve,
  { host, allowedOrigins }: { readonly host: string; readonly allowedOrigins: readonly string[] },
): Serve {
  const allowed = new Set(allowedOrigins);
  const isLocal = (origin: string): boolean => isLoopback(host) && isLoopback(URL.parse(origin)?.hostname ?? "");
  return (request, response, leaving) => {
    const { origin } = request.headers;
    // The answer differs by origin, which caches must know.
    response.setHeader("Vary", "Origin");
    if (origin !== undefined && (allowed.has("*") || allowed.has(origin) || isOwn(origin, request) || isLocal(origin))) {
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Access-Control-Expose-Headers", EXPOSED_HEADERS);
    }
    if (request.method !== "OPTIONS") {
      serve(request, response, leaving);
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
