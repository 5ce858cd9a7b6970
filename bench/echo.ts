/**
 * The ceiling of a unary call, a process of its own: grpc-js with protobuf-es, nothing behind it. It decodes the same requests, and encodes
 * the same answers for every call. Its arguments are the GetOrderResponse and the ListOrdersResponse to answer with, as base64.
 */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type handleUnaryCall, type MethodDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { type CommandOptions, CommandStage } from "../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import {
  GetOrderResponseSchema,
  ListOrdersResponseSchema,
  OrderQueryService,
} from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";

/** As long as the one of an embedded log. */
const CONSISTENCY_TOKEN = "CiQwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDASBQgDEMCaDA";

const found = fromBinary(GetOrderResponseSchema, Buffer.from(process.argv[2] ?? "", "base64"));
const listed = fromBinary(ListOrdersResponseSchema, Buffer.from(process.argv[3] ?? "", "base64"));
const { createOrder, addLine, placeOrder } = OrderCommandService.method;

const server = new Server({ "grpc.enable_channelz": 0 });
serve(createOrder, accept);
serve(addLine, accept);
serve(placeOrder, accept);
serve(OrderQueryService.method.getOrder, () => found);
serve(OrderQueryService.method.listOrders, () => listed);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.(`127.0.0.1:${port}`);
});

function accept({ orderId, options }: { readonly orderId: string; readonly options?: CommandOptions | undefined }) {
  const { DECIDED: stage } = CommandStage;
  const commandId = options?.commandId ?? "";
  return { receipt: { orderId, commandId, version: 4, consistencyToken: CONSISTENCY_TOKEN, stage, acceptedAt: timestampNow() } };
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
