import type { DocumentReader } from "../../cqrs/documents.ts";
import { loadDocument } from "../../cqrs/query/load-document.ts";
import { type NotFound, notFound } from "../../cqrs/query/query.ts";
import { readMask } from "../../cqrs/query/read-mask.ts";
import { writtenJustNow } from "../../cqrs/query/written-just-now.ts";
import { type Order, OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { GetOrderRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";

getOrder.view = orders;

/** @throws {ReadMaskError} the read mask does not fit an order */
export async function getOrder(
  documents: DocumentReader,
  { orderId, readMask: mask }: GetOrderRequest,
): Promise<{ readonly order: Order } | NotFound> {
  const masked = readMask(OrderSchema, mask);
  const order = await loadDocument(documents, orders, orderId);
  if (order === undefined) return notFound("ORDER_NOT_FOUND", `there is no order ${JSON.stringify(orderId)}; ${writtenJustNow}`);
  return { order: masked(order) };
}
