/** What a plain grpc-js client needs: safe retries, and reads that show what it wrote, for every domain. */

import { randomUUID } from "node:crypto";
import { InterceptingCall, type Interceptor } from "@grpc/grpc-js";

const retryPolicy = {
  maxAttempts: 5,
  initialBackoff: "0.1s",
  maxBackoff: "2s",
  backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
};

/** For the option "grpc.service_config" of a client. */
export const serviceConfig = JSON.stringify({ methodConfig: [{ name: [{}], retryPolicy }] });

/** One session: give it to all clients that share it, in their option `interceptors`. */
export function session(): Interceptor {
  let tokens: readonly string[] = [];
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        const sent = tokens;
        for (const token of sent) metadata.add("headwater-token", token);
        if (!options.method_definition.requestStream) metadata.set("idempotency-key", randomUUID());
        next(metadata, {
          onReceiveStatus(status, pass) {
            const answered = status.metadata.get("headwater-token").flatMap((value) => String(value).split(/, */));
            if (answered.length > 0) tokens = [...new Set([...tokens.filter((token) => !sent.includes(token)), ...answered])];
            pass(status);
          },
        });
      },
    });
}
