/** Answers requests that Connect is not to see, so that clients of every protocol learn why. */

import { encodeBinaryHeader } from "@connectrpc/connect";
import { StatusSchema } from "../../internal/gen/google/rpc/status_pb.ts";
import { PUSHBACK, retryDelayMs, type StatusError, statusOf } from "../../internal/grpc/errors.ts";
import { SERVER_ERRORS } from "../../internal/serving/server-errors.ts";
import type { Request, Response } from "./cors.ts";
import { codeName } from "./errors.ts";

const GRPC = /^application\/grpc/;

/** A gRPC client reads the status in the headers; all others read JSON, as Connect writes it. */
export function refuse(request: Request, response: Response, error: StatusError, httpStatus: number): void {
  const status = statusOf(error, SERVER_ERRORS);
  const contentType = request.headers["content-type"] ?? "";
  if (GRPC.test(contentType)) {
    response.setHeader("content-type", contentType);
    response.setHeader("grpc-status", String(status.code));
    response.setHeader("grpc-message", encodeURIComponent(status.message));
    response.setHeader("grpc-status-details-bin", encodeBinaryHeader(status, StatusSchema));
    const delayMs = retryDelayMs(status);
    if (delayMs !== undefined) response.setHeader(PUSHBACK, String(delayMs));
    response.end();
    return;
  }
  const details = status.details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value: Buffer.from(value).toString("base64").replace(/=+$/, ""),
  }));
  response.statusCode = httpStatus;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ code: codeName(status.code).toLowerCase(), message: status.message, details }));
}
