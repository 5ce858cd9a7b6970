import type { DocumentReader } from "../../cqrs/documents.ts";
import { findPage, type PageSizes } from "../../cqrs/query/find-page.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type ListOrderEventsRequest, ListOrderEventsRequestSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orderHistory } from "../projection/order-history.ts";

const pageSizes: PageSizes = { default: 100, maximum: 1000 };

listOrderEvents.view = orderHistory;

/** @throws {PageTokenError} the page token does not belong to this list */
export async function listOrderEvents(
  documents: DocumentReader,
  request: ListOrderEventsRequest,
): Promise<{ readonly events: OrderEvent[]; readonly nextPageToken: string }> {
  const { items, nextPageToken } = await findPage(documents, {
    view: orderHistory,
    schema: ListOrderEventsRequestSchema,
    request,
    pageSizes,
    where: [{ field: "metadata.aggregateId", op: "eq", value: request.orderId }],
    sort: [{ field: "metadata.version", descending: false }],
  });
  return { events: items, nextPageToken };
}
