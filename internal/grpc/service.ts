/** Serves the methods of a service of the .proto with typed functions. */

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall, MethodDefinition, Server } from "@grpc/grpc-js";
import { encode } from "../cqrs/encode.ts";
import { untilAborted } from "../cqrs/until-aborted.ts";
import type { Logger } from "../platform/logging.ts";
import { type Call, type OpenCall, openCall } from "./call.ts";
import { deadlineExceeded, StatusError, statusOf, toGrpcStatus } from "./errors.ts";
import { readRequests, writeResponses } from "./streams.ts";
import { decode, validate } from "./validation.ts";

export type Unary<Input extends DescMessage, Output extends DescMessage> = (
  request: MessageShape<Input>,
  call: Call,
) => Promise<MessageInitShape<Output>>;

export type ServerStreaming<Input extends DescMessage, Output extends DescMessage> = (
  request: MessageShape<Input>,
  call: Call,
) => AsyncIterable<MessageInitShape<Output>>;

/** The requests of a stream are not validated: whether a bad one ends the stream is the handler's decision, see {@link validate}. */
export type BidiStreaming<Input extends DescMessage, Output extends DescMessage> = (
  requests: AsyncIterable<MessageShape<Input>>,
  call: Call,
) => AsyncIterable<MessageInitShape<Output>>;

/** One function per method. A method that only the client streams has no place here. */
export type Implementation<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: Service["method"][Name] extends DescMethodUnary<infer Input, infer Output>
    ? Unary<Input, Output>
    : Service["method"][Name] extends DescMethodServerStreaming<infer Input, infer Output>
      ? ServerStreaming<Input, Output>
      : Service["method"][Name] extends DescMethodBiDiStreaming<infer Input, infer Output>
        ? BidiStreaming<Input, Output>
        : never;
};

/** The same of a service that is known only when the program runs. */
export type AnyImplementation = Readonly<Record<string, (request: never, call: Call) => unknown>>;

/** What all calls of a server share. */
export interface Edge {
  readonly errorDomain: string;
  readonly logger: Logger;
  /** How long a unary call may take whose caller set no deadline. */
  readonly unaryTimeoutMs: number;
}

export interface GrpcService {
  readonly descriptor: DescService;
  addTo(server: Server, edge: Edge): void;
}

/** `errorDomain`: the domain of its reasons. Default: the server's. */
export function grpcService<Service extends DescService>(
  descriptor: Service,
  implementation: Implementation<Service> | AnyImplementation,
  errorDomain?: string,
): GrpcService {
  return {
    descriptor,
    addTo(server, shared) {
      const edge = errorDomain === undefined ? shared : { ...shared, errorDomain };
      const definitions: Record<string, MethodDefinition<Buffer, Buffer>> = {};
      const handlers: Record<string, ReturnType<typeof handlerOf>> = {};
      for (const method of descriptor.methods) {
        definitions[method.localName] = definitionOf(method);
        handlers[method.localName] = handlerOf(method, implementation, edge);
      }
      server.addService(definitions, handlers);
    },
  };
}

/** Messages pass grpc-js as bytes: the handlers decode and encode, so that what goes wrong there has a status of ours. */
function definitionOf(method: DescMethod): MethodDefinition<Buffer, Buffer> {
  const bytes = (value: Buffer): Buffer => value;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}

function handlerOf(method: DescMethod, implementation: object, edge: Edge) {
  // The mapped type above pairs each method with its own function; a lookup by a name known only at run time cannot say so.
  const implement = (implementation as Readonly<Record<string, unknown>>)[method.localName];
  switch (method.methodKind) {
    case "unary":
      return unary(method, implement as Unary<DescMessage, DescMessage>, edge);
    case "server_streaming":
      return serverStreaming(method, implement as ServerStreaming<DescMessage, DescMessage>, edge);
    case "bidi_streaming":
      return bidiStreaming(method, implement as BidiStreaming<DescMessage, DescMessage>, edge);
    case "client_streaming":
      throw new TypeError(`${method.name} streams only its requests, which is not supported`);
  }
}

function unary(method: DescMethod, implement: Unary<DescMessage, DescMessage>, edge: Edge): handleUnaryCall<Buffer, Buffer> {
  return async (grpcCall, respond) => {
    const call = openCall(grpcCall);
    const timer = call.deadlineMs === undefined ? setTimeout(() => call.abort(timedOut()), edge.unaryTimeoutMs) : undefined;
    try {
      const request = decode(method.input, grpcCall.request);
      validate(method.input, request);
      // Not a race with the signal, which would hold the message until the client has read it.
      const message = await untilAborted(implement(request, call), call.signal);
      if (message === undefined) throw call.signal.reason;
      const response = bytesOf(method.output, message);
      call.answered();
      call.sendHeaders();
      respond(null, response, call.trailers);
    } catch (error) {
      respond(failure(error, method, call, edge));
    } finally {
      clearTimeout(timer);
    }
  };
}

function serverStreaming(
  method: DescMethod,
  implement: ServerStreaming<DescMessage, DescMessage>,
  edge: Edge,
): handleServerStreamingCall<Buffer, Buffer> {
  return async (stream) => {
    const call = openCall(stream);
    try {
      const request = decode(method.input, stream.request);
      validate(method.input, request);
      const leave = (): void => call.abort(call.leaving.reason as StatusError);
      call.leaving.addEventListener("abort", leave, { once: true, signal: call.signal });
      if (call.leaving.aborted) leave();
      await writeResponses(stream, encodeAll(method.output, implement(request, call)), call);
    } catch (error) {
      stream.emit("error", failure(error, method, call, edge));
    }
  };
}

function bidiStreaming(
  method: DescMethod,
  implement: BidiStreaming<DescMessage, DescMessage>,
  edge: Edge,
): handleBidiStreamingCall<Buffer, Buffer> {
  return async (stream) => {
    const call = openCall(stream);
    try {
      const requests = decodeAll(method.input, readRequests(stream, call));
      await writeResponses(stream, untilLeft(encodeAll(method.output, implement(requests, call)), call), call);
    } catch (error) {
      stream.emit("error", failure(error, method, call, edge));
    }
  };
}

/** The one place where the cause of an INTERNAL is logged. What a handler throws because its call was aborted is no such cause. */
function failure(error: unknown, method: DescMethod, call: OpenCall, edge: Edge) {
  const isAbortion = call.signal.aborted && error instanceof Error && error.name === "AbortError";
  const cause = isAbortion ? call.signal.reason : error;
  if (!(cause instanceof StatusError))
    edge.logger.error({ err: cause, method: `${method.parent.typeName}/${method.name}` }, "a call failed");
  const status = toGrpcStatus(statusOf(cause, edge.errorDomain), call.trailers);
  return Object.assign(new Error(status.details), status);
}

async function* decodeAll<Desc extends DescMessage>(schema: Desc, messages: AsyncIterable<Buffer>): AsyncGenerator<MessageShape<Desc>> {
  for await (const bytes of messages) yield decode(schema, bytes);
}

async function* encodeAll<Desc extends DescMessage>(schema: Desc, messages: AsyncIterable<MessageInitShape<Desc>>): AsyncGenerator<Buffer> {
  for await (const message of messages) yield bytesOf(schema, message);
}

/** What was requested before is answered; that there may be more requests, the status says. */
async function* untilLeft(responses: AsyncIterable<Buffer>, { leaving }: OpenCall): AsyncGenerator<Buffer> {
  yield* responses;
  if (leaving.aborted) throw leaving.reason;
}

/** grpc-js needs a Buffer: it copies with a method that a Uint8Array does not have. */
function bytesOf<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): Buffer {
  const bytes = encode(schema, create(schema, message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function timedOut(): StatusError {
  return deadlineExceeded("the call took too long", { reason: "CALL_TIMEOUT" });
}
