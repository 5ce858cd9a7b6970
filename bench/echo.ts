/**
 * The ceiling of a unary call, a process of its own: grpc-js with protobuf-es, nothing behind it. It decodes the same requests, and encodes
 * the same answers for every call, and tells of every change all who watch. Its arguments are the GetOrderResponse and the ListOrdersResponse
 * to answer with, as base64.
 */

import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type handleServerStreamingCall, type handleUnaryCall, type MethodDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { type CommandOptions, CommandStage } from "../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderSchema } from "../internal/gen/headwater/orders/v1/order_pb.ts";
import {
  GetOrderResponseSchema,
  ListOrdersResponseSchema,
  OrderQueryService,
} from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";

/** As long as the one of an embedded log. */
const CONSISTENCY_TOKEN = "CiQwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDASBQgDEMCaDA";

/** About as long as one of an embedded log. */
const place = { position: CONSISTENCY_TOKEN, consistencyToken: CONSISTENCY_TOKEN };

const found = fromBinary(GetOrderResponseSchema, Buffer.from(process.argv[2] ?? "", "base64"));
const listed = fromBinary(ListOrdersResponseSchema, Buffer.from(process.argv[3] ?? "", "base64"));
const { createOrder, addLine, changeLineQuantity, placeOrder } = OrderCommandService.method;
const { watchOrder, watchOrders } = OrderQueryService.method;

/** What an order of the bench has after its commands. */
const FIRST_VERSION = 4;

/** Of orders that were changed. */
const versions = new Map<string, number>();
/** Who is told of every change, and who of those of an order. */
const listWatchers = new Set<Watcher>();
const orderWatchers = new Map<string, Set<Watcher>>();

type Watcher = (bytes: Buffer) => void;

const server = new Server({ "grpc.enable_channelz": 0 });
serve(createOrder, accept);
serve(addLine, accept);
serve(placeOrder, accept);
serve(changeLineQuantity, change);
serve(OrderQueryService.method.getOrder, () => found);
serve(OrderQueryService.method.listOrders, () => listed);
stream(watchOrders, { first: () => ({}), watchersOf: () => listWatchers });
stream(watchOrder, { first: ({ orderId }) => stateOf(orderId), watchersOf: ({ orderId }) => watchersOfOrder(orderId) });
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.(`127.0.0.1:${port}`);
});

function accept({ orderId, options }: Command) {
  const { DECIDED: stage } = CommandStage;
  const commandId = options?.commandId ?? "";
  const version = versions.get(orderId) ?? FIRST_VERSION;
  return { receipt: { orderId, commandId, version, consistencyToken: CONSISTENCY_TOKEN, stage, acceptedAt: timestampNow() } };
}

interface Command {
  readonly orderId: string;
  readonly options?: CommandOptions | undefined;
}

/** Who watches is told after the caller is. Every change is encoded once. */
function change(command: Command) {
  const { orderId } = command;
  versions.set(orderId, (versions.get(orderId) ?? FIRST_VERSION) + 1);
  setImmediate(tell, orderId, stateOf(orderId));
  return accept(command);
}

function tell(orderId: string, state: ReturnType<typeof stateOf>): void {
  const listChange = { changes: [{ change: { case: "order", value: state.order } as const }], ...place };
  const bytes = buffer(toBinary(watchOrders.output, create(watchOrders.output, listChange)));
  for (const write of listWatchers) write(bytes);
  const stateBytes = buffer(toBinary(watchOrder.output, create(watchOrder.output, state)));
  for (const write of watchersOfOrder(orderId)) write(stateBytes);
}

function stateOf(orderId: string) {
  const order = { ...(found.order ?? create(OrderSchema)), orderId, version: versions.get(orderId) ?? FIRST_VERSION };
  return { order, consistencyToken: CONSISTENCY_TOKEN };
}

function watchersOfOrder(orderId: string): Set<Watcher> {
  const watchers = orderWatchers.get(orderId) ?? new Set();
  orderWatchers.set(orderId, watchers);
  return watchers;
}

function stream<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodServerStreaming<Input, Output>,
  options: {
    first(request: MessageShape<Input>): MessageInitShape<Output>;
    watchersOf(request: MessageShape<Input>): Set<Watcher>;
  },
): void {
  const definition: MethodDefinition<MessageShape<Input>, Buffer> = {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: true,
    requestSerialize: (request) => buffer(toBinary(method.input, request)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
  const handler: handleServerStreamingCall<MessageShape<Input>, Buffer> = (call) => {
    const write: Watcher = (bytes) => void call.write(bytes);
    write(buffer(toBinary(method.output, create(method.output, options.first(call.request)))));
    const watchers = options.watchersOf(call.request);
    watchers.add(write);
    call.on("cancelled", () => watchers.delete(write));
  };
  server.addService({ [method.name]: definition }, { [method.name]: handler });
}

function serve<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
  answer: (request: MessageShape<Input>) => MessageInitShape<Output>,
): void {
  const definition: MethodDefinition<MessageShape<Input>, MessageInitShape<Output>> = {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (request) => buffer(toBinary(method.input, request)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (response) => buffer(toBinary(method.output, create(method.output, response))),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes) as MessageInitShape<Output>,
  };
  const handler: handleUnaryCall<MessageShape<Input>, MessageInitShape<Output>> = ({ request }, respond) => respond(null, answer(request));
  server.addService({ [method.name]: definition }, { [method.name]: handler });
}

/** grpc-js copies with a method that a Uint8Array does not have. */
function buffer({ buffer: bytes, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(bytes, byteOffset, byteLength);
}
