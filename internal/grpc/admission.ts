import { ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { resourceExhausted, type StatusError, statusOf, toGrpcStatus, unavailable } from "./errors.ts";

/** Enough for the calls of a full server to be answered. */
const retryAfterMs = 1_000;

/** Health and reflection answer even when the server is full or stops: that is when they are asked. */
const infrastructure = "/grpc.";

export interface Admission {
  readonly interceptor: ServerInterceptor;
  inProgress(): number;
  /** Whether new calls are let in: what would wait in vain is better told at once. To begin with, they are not. */
  setServing(isServing: boolean): void;
  /** Refuses new calls, and waits for the running ones. False: they did not finish in time. */
  drain(timeoutMs: number): Promise<boolean>;
}

/** Counts the calls in progress, and refuses new ones while there are too many, or the server stops or cannot serve. */
export function createAdmission({ maxCalls, errorDomain }: { readonly maxCalls: number; readonly errorDomain: string }): Admission {
  let inProgress = 0;
  let isServing = false;
  let drained: PromiseWithResolvers<boolean> | undefined;

  const refusal = (): StatusError | undefined => {
    if (drained !== undefined) return unavailable("the server is stopping", { reason: "SERVER_STOPPING" }, retryAfterMs);
    if (!isServing) return unavailable("what the server needs is away; try again", { reason: "NOT_SERVING" }, retryAfterMs);
    if (inProgress < maxCalls) return undefined;
    return resourceExhausted("too many calls are in progress", { reason: "TOO_MANY_CALLS" }, retryAfterMs);
  };

  const interceptor: ServerInterceptor = (method, call) => {
    if (method.path.startsWith(infrastructure)) return new ServerInterceptingCall(call);
    let isCounted = false;
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          // Not before: of a call that was reset before it began, grpc-js reports neither this nor the end.
          onReceiveMetadata(metadata, deliver) {
            const error = refusal();
            if (error !== undefined) return call.sendStatus(toGrpcStatus(statusOf(error, errorDomain)));
            isCounted = true;
            inProgress++;
            deliver(metadata);
          },
          onCancel() {
            if (isCounted && --inProgress === 0) drained?.resolve(true);
          },
        });
      },
    });
  };

  return {
    interceptor,
    inProgress: () => inProgress,
    setServing(value) {
      isServing = value;
    },
    async drain(timeoutMs) {
      drained ??= Promise.withResolvers<boolean>();
      if (inProgress === 0) drained.resolve(true);
      const timer = setTimeout(() => drained?.resolve(false), timeoutMs);
      const isFinished = await drained.promise;
      clearTimeout(timer);
      return isFinished;
    },
  };
}
