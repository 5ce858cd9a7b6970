/**
 * The names that a gateway is called by. A page of any site may have its own name resolved to
 * 127.0.0.1 and then counts as the gateway's own page: only the Host header tells.
 */

import { status as Code } from "@grpc/grpc-js";
import { StatusError } from "../../internal/grpc/errors.ts";
import type { Request, Response } from "./cors.ts";
import type { Serve } from "./listen.ts";
import { refuse } from "./refuse.ts";

/** Whether an address or a name is this machine's, for itself only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The host that a request is for, without its port. */
function hostOf(request: Request): string {
  const authority = ("authority" in request ? request.authority : request.headers.host) ?? "";
  return authority.replace(/:\d*$/, "").toLowerCase();
}

/** Refuses requests for hosts that are not allowed. */
export function withAllowedHosts(
  serve: Serve,
  { host, allowedHosts }: { readonly host: string; readonly allowedHosts: readonly string[] },
): Serve {
  const allowed = new Set(allowedHosts.map((each) => each.toLowerCase()));
  const isAllowed = (name: string): boolean => {
    if (allowed.has(name) || allowed.has("*")) return true;
    return isLoopback(host) ? isLoopback(name) : allowed.size === 0;
  };
  return (request, response: Response, leaving) => {
    const name = hostOf(request);
    if (isAllowed(name)) serve(request, response, leaving);
    else refuse(request, response, notAllowed(name), 421);
  };
}

function notAllowed(name: string): StatusError {
  const message = `this gateway is not called ${JSON.stringify(name.slice(0, 255))}; if it is, say so with --allowed-hosts`;
  return new StatusError(Code.PERMISSION_DENIED, message, { reason: "HOST_NOT_ALLOWED" });
}
