/** The job that everybody does: an order of three lines is created, gets two more, and is placed. */

import { createHash, randomUUID } from "node:crypto";
import { create, type DescMethodUnary, toBinary } from "@bufbuild/protobuf";
import {
  AddLineRequestSchema,
  CreateOrderRequestSchema,
  OrderCommandService,
  PlaceOrderRequestSchema,
} from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { GetOrderRequestSchema, OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { type AnyOrderCommand, submissionOf } from "../internal/orders/command/submission.ts";

export const COMMANDS_PER_ORDER = 4;

/** Customers share orders, as they do in life. */
const CUSTOMERS = 997;

/** A call as it goes over the wire. */
export interface Call {
  readonly path: string;
  readonly request: Uint8Array;
}

export function orderId(prefix: string, number: number): string {
  return `${prefix}-${number}`;
}

/** The commands of an order, each with a command_id of its own. */
export function commandsOf(prefix: string, number: number): readonly AnyOrderCommand[] {
  const order = () => ({ orderId: orderId(prefix, number), options: { commandId: randomUUID() } });
  const opening = {
    customerId: `customer-${number % CUSTOMERS}`,
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

export function commandCall({ case: name, value }: AnyOrderCommand): Call {
  const method: DescMethodUnary = OrderCommandService.method[name];
  return { path: pathOf(method), request: toBinary(method.input, value) };
}

export function getOrderCall(id: string, consistencyToken: string): Call {
  const method = OrderQueryService.method.getOrder;
  return { path: pathOf(method), request: toBinary(method.input, create(GetOrderRequestSchema, { orderId: id, consistencyToken })) };
}

/** A command as the write side takes it. */
export function submission(command: AnyOrderCommand) {
  const hash = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();
  return submissionOf(command, { newId: randomUUID, hash, actor: "bench" });
}

function line(sku: string, quantity: number, minorUnits: bigint) {
  return { sku, description: `Article ${sku}`, quantity, unitPrice: { currencyCode: "EUR", minorUnits } };
}

function pathOf(method: DescMethodUnary): string {
  return `/${method.parent.typeName}/${method.name}`;
}
