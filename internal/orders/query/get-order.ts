import type { DocumentReader } from "../../cqrs/documents.ts";
import type { Order } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { GetOrderRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { loadDocument } from "./load-document.ts";

getOrder.view = orders;

export function getOrder(documents: DocumentReader, { orderId }: GetOrderRequest): Promise<Order | undefined> {
  return loadDocument(documents, orders, orderId);
}
