import { status as Code, Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import { StatusError } from "./errors.ts";

/** What a handler may know of its call, and say beside its responses. */
export interface Call {
  /** Aborted as soon as nobody waits for the answer any more: cancelled, past its deadline, or cut off by a server that stops. */
  readonly signal: AbortSignal;
  /** The caller's deadline as milliseconds since the epoch. Undefined: he set none. */
  readonly deadlineMs: number | undefined;
  /** The caller's address. */
  readonly peer: string;
  /** A header of the request, by its lower-case name. */
  header(name: string): string | undefined;
  /** Every value of a header, also where a proxy has joined them with commas. */
  headers(name: string): readonly string[];
  /** Goes out with the first response, so not with an error that comes instead of it. */
  setResponseHeader(name: string, value: string): void;
  /** Goes out after the last response, or with the error. */
  setResponseTrailer(name: string, ...values: readonly string[]): void;
}

/** What the calls of all kinds have in common. */
type GrpcCall = Pick<ServerUnaryCall<Buffer, Buffer>, "metadata" | "getDeadline" | "getPeer" | "sendMetadata"> & {
  once(event: "cancelled", listener: () => void): unknown;
};

/** A call as its handler sees it, and what the server does with it. */
export interface OpenCall extends Call {
  readonly trailers: Metadata;
  /**
   * Aborts when the connection is about to be closed: a call without an end of its own ends with
   * its reason.
   */
  readonly leaving: AbortSignal;
  abort(reason: StatusError): void;
  /** Says that the call is answered: its end is no cancellation any more. */
  answered(): void;
  /** Sends the headers that were set, once. */
  sendHeaders(): void;
}

/** By the metadata of the call: nothing else that an interceptor sees is also the handler's. */
const leavings = new WeakMap<Metadata, AbortSignal>();

/** Tells the handler of a call with this metadata of its connection. */
export function noteLeaving(metadata: Metadata, leaving: AbortSignal): void {
  leavings.set(metadata, leaving);
}

export function openCall(grpcCall: GrpcCall): OpenCall {
  const abortion = new AbortController();
  const headers = new Metadata();
  const trailers = new Metadata();
  const deadline = Number(grpcCall.getDeadline());
  let hasHeaders = false;
  let headersSent = false;
  let isAnswered = false;

  // grpc-js reports the end of every call so.
  grpcCall.once("cancelled", () => {
    if (!isAnswered) abortion.abort(cancelled(deadline));
  });
  return {
    signal: abortion.signal,
    deadlineMs: Number.isFinite(deadline) ? deadline : undefined,
    peer: grpcCall.getPeer(),
    trailers,
    leaving: leavings.get(grpcCall.metadata) ?? abortion.signal,
    header(name) {
      const value = grpcCall.metadata.get(name)[0];
      return typeof value === "string" ? value : undefined;
    },
    headers(name) {
      const values = grpcCall.metadata.get(name);
      return values.length === 0 ? [] : values.flatMap((value) => String(value).split(",")).map((value) => value.trim());
    },
    setResponseHeader(name, value) {
      headers.set(name, value);
      hasHeaders = true;
    },
    setResponseTrailer(name, ...values) {
      trailers.remove(name);
      for (const value of values) trailers.add(name, value);
    },
    abort: (reason) => abortion.abort(reason),
    answered: () => {
      isAnswered = true;
    },
    sendHeaders() {
      // Without any, grpc-js sends its own with the first message.
      if (headersSent || !hasHeaders) return;
      headersSent = true;
      grpcCall.sendMetadata(headers);
    },
  };
}

function cancelled(deadline: number): StatusError {
  if (Date.now() >= deadline) return new StatusError(Code.DEADLINE_EXCEEDED, "the deadline has passed", { reason: "DEADLINE_EXCEEDED" });
  return new StatusError(Code.CANCELLED, "the call was cancelled", { reason: "CANCELLED" });
}
