import { ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { resourceExhausted, type StatusError, statusOf, toGrpcStatus, unavailable } from "./errors.ts";

/** Enough for the calls of a full server to be answered. */
const retryAfterMs = 1_000;

/** Health and reflection answer even when the server is full or stops: that is when they are asked. */
const infrastructure = "/grpc.";

/**
 * Their calls are counted apart. A load balancer watches the health with one for each of its
 * connections.
 */
const maxInfrastructureCalls = 1_000;

export interface Admission {
  readonly interceptor: ServerInterceptor;
  inProgress(): number;
  /** Whether new calls are let in: what would wait in vain is better told at once. To begin with, they are not. */
  setServing(isServing: boolean): void;
  /** Refuses new calls, and waits for the running ones. False: they did not finish in time. */
  drain(timeoutMs: number): Promise<boolean>;
}

export interface AdmissionOptions {
  readonly maxCalls: number;
  /** How many of the calls may be streams. */
  readonly maxStreams: number;
  readonly errorDomain: string;
}

/** Counts the calls in progress, and refuses new ones while there are too many, or the server stops or cannot serve. */
export function createAdmission({ maxCalls, maxStreams, errorDomain }: AdmissionOptions): Admission {
  let inProgress = 0;
  let streams = 0;
  let infrastructureCalls = 0;
  let isServing = false;
  let drained: PromiseWithResolvers<boolean> | undefined;

  const refusal = (isInfrastructure: boolean, isStream: boolean): StatusError | undefined => {
    if (isInfrastructure) return infrastructureCalls < maxInfrastructureCalls ? undefined : tooManyCalls();
    if (drained !== undefined) return stopping();
    if (!isServing) return unavailable("what the server needs is away; try again", { reason: "NOT_SERVING" }, retryAfterMs);
    if (inProgress >= maxCalls) return tooManyCalls();
    return isStream && streams >= maxStreams ? tooManyStreams() : undefined;
  };

  const count = (isInfrastructure: boolean, isStream: boolean, by: 1 | -1): void => {
    if (isInfrastructure) infrastructureCalls += by;
    else {
      inProgress += by;
      if (isStream) streams += by;
    }
  };

  const interceptor: ServerInterceptor = (method, call) => {
    const isInfrastructure = method.path.startsWith(infrastructure);
    const isStream = method.responseStream;
    let isCounted = false;
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          // Not before: of a call that was reset before it began, grpc-js reports neither this nor the end.
          onReceiveMetadata(metadata, deliver) {
            const error = refusal(isInfrastructure, isStream);
            if (error !== undefined) return call.sendStatus(toGrpcStatus(statusOf(error, errorDomain)));
            isCounted = true;
            count(isInfrastructure, isStream, 1);
            deliver(metadata);
          },
          onCancel() {
            if (isCounted) count(isInfrastructure, isStream, -1);
            if (inProgress === 0) drained?.resolve(true);
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

/** What is said of a server that stops, whether a call comes too late or a stream is ended. */
export function stopping(): StatusError {
  return unavailable("the server is stopping; go on with the last position", { reason: "SERVER_STOPPING" }, retryAfterMs);
}

export function tooManyCalls(): StatusError {
  return resourceExhausted("too many calls are in progress", { reason: "TOO_MANY_CALLS" }, retryAfterMs);
}

export function tooManyStreams(): StatusError {
  return resourceExhausted("too many streams are open; try another server", { reason: "TOO_MANY_STREAMS" }, retryAfterMs);
}
