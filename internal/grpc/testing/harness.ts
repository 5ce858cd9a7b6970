import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type CallOptions, Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { pino } from "pino";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { OrderCommandService } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import type { GrpcLimits } from "../limits.ts";
import { startGrpcServer } from "../server.ts";
import { grpcService, type Implementation } from "../service.ts";

export interface Handlers {
  readonly query?: Partial<Implementation<typeof OrderQueryService>>;
  readonly command?: Partial<Implementation<typeof OrderCommandService>>;
}

/** A server of two services of the contract, a client for it, and what it logged. */
export async function startTestServer({ query = {}, command = {} }: Handlers = {}, limits: Partial<GrpcLimits> = {}) {
  const logged: Record<string, unknown>[] = [];
  const logger = pino({ level: "info" }, { write: (line) => void logged.push(JSON.parse(line)) });
  const services = [
    grpcService(OrderQueryService, { ...unimplemented(OrderQueryService.methods), ...query }),
    grpcService(OrderCommandService, { ...unimplemented(OrderCommandService.methods), ...command }),
  ];
  const server = await startGrpcServer({ host: "127.0.0.1", port: 0, services, errorDomain: "orders.headwater", logger, limits });
  server.setServing(true);
  const client = new Client(server.address, credentials.createInsecure(), { "grpc.max_receive_message_length": -1 });
  return {
    server,
    client,
    logged,
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

export const identity = (bytes: Buffer): Buffer => bytes;
export const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;

export async function unary<Method extends DescMethod>(
  client: Client,
  method: Method,
  request: MessageInitShape<Method["input"]>,
  options: CallOptions = {},
): Promise<MessageShape<Method["output"]>> {
  const bytes = await unaryBytes(client, pathOf(method), encode(method.input, request), options);
  return fromBinary<Method["output"]>(method.output, bytes);
}

interface UnaryOptions extends CallOptions {
  readonly metadata?: Metadata;
}

export function unaryBytes(client: Client, path: string, request: Buffer, options: UnaryOptions = {}): Promise<Buffer> {
  const { metadata = new Metadata(), ...callOptions } = options;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, identity, identity, request, metadata, callOptions, (error, response) =>
      error === null ? resolve(response as Buffer) : reject(error),
    );
  });
}

/** The error of a call that has to fail, with its details decoded. */
export async function failureOf(call: Promise<unknown>) {
  const error = (await call.then(
    () => {
      throw new Error("the call did not fail");
    },
    (reason: unknown) => reason,
  )) as ServiceError;
  const bytes = error.metadata.get("grpc-status-details-bin")[0];
  const status = Buffer.isBuffer(bytes) ? fromBinary(StatusSchema, bytes) : create(StatusSchema);
  const detail = <Desc extends DescMessage>(schema: Desc) =>
    status.details.map((any) => anyUnpack(any, schema)).find((message) => message !== undefined);
  return {
    code: error.code,
    message: error.details,
    status,
    metadata: error.metadata,
    info: detail(ErrorInfoSchema),
    badRequest: detail(BadRequestSchema),
    retryInfo: detail(RetryInfoSchema),
  };
}

export function encode<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, message)));
}

/** A message as gRPC frames it. */
export function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The bytes of buffers that somebody still has. */
export function bytesInUse(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().arrayBuffers;
}

/** Waits for a condition that has to come true within a few seconds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await delay(5);
  }
}

function unimplemented(methods: readonly DescMethod[]) {
  return Object.fromEntries(
    methods.map(({ localName }) => [
      localName,
      () => {
        throw new TypeError(`${localName} is not part of this test`);
      },
    ]),
  );
}
