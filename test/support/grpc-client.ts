/** Typed calls through grpc-js, as a client that is not ours would make them. */

import type { Duplex, Readable } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { ChannelCredentials, Client, type ServiceError } from "@grpc/grpc-js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../internal/gen/google/rpc/status_pb.ts";

/** What a status says of a call that failed. */
export interface FailedCall {
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
}

/** A failed call, with what the server said of it. */
export class CallError extends Error implements FailedCall {
  override readonly name = "CallError";
  readonly code: number;
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(error: ServiceError) {
    super(error.details);
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const { reason, metadata, retryAfterMs } = detailsOf(Buffer.isBuffer(bytes) ? fromBinary(StatusSchema, bytes) : create(StatusSchema));
    this.code = error.code;
    this.reason = reason;
    this.metadata = metadata;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A status in plain words, such as that of a command on a stream. */
export function detailsOf({ code, message, details }: Status): FailedCall {
  const info = details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find((found) => found !== undefined);
  const retry = details.map((detail) => anyUnpack(detail, RetryInfoSchema)).find((found) => found !== undefined);
  const retryAfterMs = retry?.retryDelay === undefined ? undefined : durationMs(retry.retryDelay);
  return { code, message, reason: info?.reason, metadata: info?.metadata ?? {}, retryAfterMs };
}

export interface GrpcClient extends Disposable {
  call<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    options?: { readonly deadlineMs?: number },
  ): Promise<MessageShape<Output>>;
  /** The answers of a stream, no faster than they are read, until it ends or the signal aborts. @throws {CallError} */
  follow<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    request: MessageInitShape<Input>,
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<Output>>;
  /** Sends all requests at once, and gives out the answers as they come. @throws {CallError} */
  exchange<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodBiDiStreaming<Input, Output>,
    requests: readonly MessageInitShape<Input>[],
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<Output>>;
}

export function createGrpcClient(address: string): GrpcClient {
  const client = new Client(address, ChannelCredentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    // A server that was killed is back within seconds; the default waits up to two minutes for it.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
  });
  return {
    call(method, request, { deadlineMs = 30_000 } = {}) {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(pathOf(method), plain, plain, bytes, { deadline: Date.now() + deadlineMs }, (error, response) => {
          if (error !== null) reject(new CallError(error));
          else resolve(fromBinary(method.output, response ?? Buffer.alloc(0)));
        });
      });
    },
    follow(method, request, signal) {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      return answersOf(method, client.makeServerStreamRequest(pathOf(method), plain, plain, bytes), signal);
    },
    exchange(method, requests, signal) {
      const stream = client.makeBidiStreamRequest(pathOf(method), plain, plain);
      for (const request of requests) stream.write(Buffer.from(toBinary(method.input, create(method.input, request))));
      stream.end();
      return answersOf(method, stream, signal);
    },
    [Symbol.dispose]: () => client.close(),
  };
}

async function* answersOf<Output extends DescMessage>(
  { output }: { readonly output: Output },
  stream: (Readable | Duplex) & { cancel(): void },
  signal: AbortSignal,
): AsyncGenerator<MessageShape<Output>> {
  const cancel = (): void => stream.cancel();
  // An error may come after the last reading of it.
  stream.on("error", () => undefined);
  signal.addEventListener("abort", cancel);
  try {
    if (signal.aborted) cancel();
    for await (const bytes of stream) yield fromBinary(output, bytes as Buffer);
  } catch (error) {
    throw isServiceError(error) ? new CallError(error) : error;
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}

function pathOf({ parent, name }: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${parent.typeName}/${name}`;
}

function plain(bytes: Buffer): Buffer {
  return bytes;
}
