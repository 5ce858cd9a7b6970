/** Typed unary calls through grpc-js, as a client that is not ours would make them. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { ChannelCredentials, Client, type ServiceError } from "@grpc/grpc-js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../internal/gen/google/rpc/status_pb.ts";

/** A failed call, with what the server said of it. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: number;
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(error: ServiceError) {
    super(error.details);
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const status = Buffer.isBuffer(bytes) ? fromBinary(StatusSchema, bytes) : undefined;
    const info = status?.details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find((found) => found !== undefined);
    const retry = status?.details.map((detail) => anyUnpack(detail, RetryInfoSchema)).find((found) => found !== undefined);
    this.code = error.code;
    this.reason = info?.reason;
    this.metadata = info?.metadata ?? {};
    this.retryAfterMs = retry?.retryDelay === undefined ? undefined : durationMs(retry.retryDelay);
  }
}

export interface GrpcClient extends Disposable {
  call<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    options?: { readonly deadlineMs?: number },
  ): Promise<MessageShape<Output>>;
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
      const path = `/${method.parent.typeName}/${method.name}`;
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, plain, plain, bytes, { deadline: Date.now() + deadlineMs }, (error, response) => {
          if (error !== null) reject(new CallError(error));
          else resolve(fromBinary(method.output, response ?? Buffer.alloc(0)));
        });
      });
    },
    [Symbol.dispose]: () => client.close(),
  };
}

function plain(bytes: Buffer): Buffer {
  return bytes;
}
