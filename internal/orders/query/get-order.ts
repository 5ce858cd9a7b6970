import type { DocumentReader } from "../../cqrs/documents.ts";
import { readMask } from "../../cqrs/read-mask.ts";
import { type Order, OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { GetOrderRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { loadDocument } from "./load-document.ts";

getOrder.view = orders;

/** @throws {ReadMaskError} the read mask does not fit an order */
export async function getOrder(documents: DocumentReader, request: GetOrderRequest): Promise<Order | undefined> {
  const masked = readMask(OrderSchema, request.readMask);
  const order = await loadDocument(documents, orders, request.orderId);
  return order && masked(order);
}
