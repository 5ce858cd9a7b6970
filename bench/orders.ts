/** The job that everybody does: an order of three lines is created, gets two more, and is placed. */

import { createHash, randomUUID } from "node:crypto";
import { create, type DescMethodUnary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Log, NewRecord } from "../internal/cqrs/log.ts";
import { partitionOf } from "../internal/cqrs/partition.ts";
import { CommandMetadataSchema } from "../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { OrderCommandRecordSchema } from "../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import {
  AddLineRequestSchema,
  CreateOrderRequestSchema,
  OrderCommandService,
  PlaceOrderRequestSchema,
} from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import {
  GetOrderRequestSchema,
  ListOrdersRequestSchema,
  OrderQueryService,
} from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { submissionOf } from "../internal/serving/submission.ts";
import type { AnyOrderCommand } from "../test/support/order-domain.ts";
import { orderDomain, orderTopics } from "../test/support/order-domain.ts";
import { type Call, pathOf } from "./wire.ts";

export const COMMANDS_PER_ORDER = 4;

/** Customers share orders, as they do in life. */
export const CUSTOMERS = 997;

/** Orders that are under way at a time, where commands come interleaved. */
const WINDOW_ORDERS = 250;

/** Where the replies to commands go that nobody waits for. */
export const REPLY_TO = "bench";

export function orderId(prefix: string, number: number): string {
  return `${prefix}-${number}`;
}

export function customerId(number: number): string {
  return `customer-${number % CUSTOMERS}`;
}

/** The commands of an order, each with a command_id of its own. */
export function commandsOf(prefix: string, number: number): readonly AnyOrderCommand[] {
  const order = () => ({ orderId: orderId(prefix, number), options: { commandId: randomUUID() } });
  const opening = {
    customerId: customerId(number),
    currencyCode: "EUR",
    lines: [line("SKU-10001", 2, 1999n), line("SKU-10002", 1, 4500n), line("SKU-10003", 5, 250n)],
    shippingAddress: { recipient: "Ada", addressLines: ["12 Dame Street"], city: "Dublin", country: "Ireland" },
  };
  return [
    { case: "createOrder", value: create(CreateOrderRequestSchema, { ...order(), ...opening }) },
    { case: "addLine", value: create(AddLineRequestSchema, { ...order(), line: line("SKU-20001", 1, 1250n) }) },
    { case: "addLine", value: create(AddLineRequestSchema, { ...order(), line: line("SKU-20002", 3, 1250n) }) },
    { case: "placeOrder", value: create(PlaceOrderRequestSchema, order()) },
  ];
}

/** The commands of many orders as a busy system has them: every order of a window gets its first command, then every one its second. */
export function interleaved<Command>(orders: readonly (readonly Command[])[]): Command[] {
  const commands: Command[] = [];
  for (let from = 0; from < orders.length; from += WINDOW_ORDERS) {
    const window = orders.slice(from, from + WINDOW_ORDERS);
    for (let turn = 0; turn < COMMANDS_PER_ORDER; turn += 1) commands.push(...window.flatMap((order) => order[turn] ?? []));
  }
  return commands;
}

export function commandCall({ case: name, value }: AnyOrderCommand): Call {
  const method: DescMethodUnary = OrderCommandService.method[name];
  return { path: pathOf(method), request: toBinary(method.input, value) };
}

export function getOrderCall(id: string, consistencyToken: string): Call {
  const method = OrderQueryService.method.getOrder;
  return { path: pathOf(method), request: toBinary(method.input, create(GetOrderRequestSchema, { orderId: id, consistencyToken })) };
}

/** A page that holds all orders of a customer. */
export function listOrdersCall(customer: string): Call {
  const method = OrderQueryService.method.listOrders;
  return { path: pathOf(method), request: toBinary(method.input, create(ListOrdersRequestSchema, { filter: { customerId: customer } })) };
}

/** A command as the write side appends it. */
export function commandRecord(command: AnyOrderCommand, log: Pick<Log, "partitions" | "topicId">): NewRecord {
  const { aggregateId, ...facts } = submission(command);
  const now = timestampFromMs(Date.now());
  const { schemaVersion } = orderDomain.commands;
  const stream = log.topicId(orderTopics.events.name);
  const stamped = { acceptedAt: now, occurredAt: now, replyTo: REPLY_TO, schemaVersion, stream };
  const metadata = create(CommandMetadataSchema, { ...facts, aggregateId, ...stamped });
  const value = toBinary(OrderCommandRecordSchema, create(OrderCommandRecordSchema, { metadata, command: { command } }));
  return { topic: orderTopics.commands.name, partition: partitionOf(aggregateId, log.partitions), key: aggregateId, value };
}

function submission(command: AnyOrderCommand) {
  const hash = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();
  return submissionOf(orderDomain, command, { newId: randomUUID, hash, actor: "bench" });
}

function line(sku: string, quantity: number, minorUnits: bigint) {
  return { sku, description: `Article ${sku}`, quantity, unitPrice: { currencyCode: "EUR", minorUnits } };
}
