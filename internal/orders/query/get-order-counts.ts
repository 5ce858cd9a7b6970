import { create } from "@bufbuild/protobuf";
import type { DocumentReader } from "../../cqrs/documents.ts";
import { loadDocument } from "../../cqrs/query/load-document.ts";
import { type GetOrderCountsRequest, type OrderCounts, OrderCountsSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orderCounts, orderCountsId } from "../projection/order-counts.ts";

getOrderCounts.view = orderCounts;

export async function getOrderCounts(
  documents: DocumentReader,
  _request: GetOrderCountsRequest,
): Promise<{ readonly counts: OrderCounts }> {
  return { counts: (await loadDocument(documents, orderCounts, orderCountsId)) ?? create(OrderCountsSchema) };
}
