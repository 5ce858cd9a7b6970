import type { Condition, DocumentReader, Page, SortKey } from "../../cqrs/documents.ts";
import { type NotFound, notFound } from "../../cqrs/query/query.ts";
import { readMask } from "../../cqrs/query/read-mask.ts";
import { writtenJustNow } from "../../cqrs/query/written-just-now.ts";
import { timestampToMs } from "../../cqrs/time.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Order, OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { GetOrderAsOfRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { orderHistory } from "../projection/order-history.ts";
import { dateOf } from "../projection/time.ts";

/** Most orders have fewer events, and so are one read. An event may have a thousand lines, so that many more at once would be too much. */
const eventsPerRead = 100;

getOrderAsOf.view = orderHistory;

/**
 * The fold of the order's history up to then, by the fold that makes the view of orders.
 *
 * @throws {ReadMaskError} the read mask does not fit an order
 */
export async function getOrderAsOf(documents: DocumentReader, request: GetOrderAsOfRequest): Promise<{ readonly order: Order } | NotFound> {
  const { orderId, asOf } = request;
  const masked = readMask(OrderSchema, request.readMask);
  const lastMs = asOf.case === "time" ? dateOf(asOf.value).getTime() : Number.POSITIVE_INFINITY;
  const lastVersion = asOf.case === "version" ? asOf.value : Number.POSITIVE_INFINITY;

  let order: Order | undefined;
  for await (const event of eventsOf(documents, orderId, lastVersion)) {
    const occurredAt = event.metadata?.occurredAt;
    if (occurredAt !== undefined && timestampToMs(occurredAt) > lastMs) {
      if (order === undefined) return notYetCreated(orderId, dateOf(occurredAt).toISOString());
      break;
    }
    order = orders.fold(order, orderId, event);
  }
  if (order === undefined) return notFound("ORDER_NOT_FOUND", `there is no order ${JSON.stringify(orderId)}; ${writtenJustNow}`);
  if (asOf.case === "version" && order.version < lastVersion) return notReached(orderId, String(order.version));
  return { order: masked(order) };
}

function notYetCreated(orderId: string, createdAt: string): NotFound {
  const message = `the order ${JSON.stringify(orderId)} was created at ${createdAt}; ask for a later time`;
  return notFound("ORDER_NOT_YET_CREATED", message, { created_at: createdAt });
}

function notReached(orderId: string, version: string): NotFound {
  const message = `the order ${JSON.stringify(orderId)} is at version ${version}; ${writtenJustNow}`;
  return notFound("VERSION_NOT_REACHED", message, { version });
}

/** The order's events, oldest first, read as they are needed. */
async function* eventsOf(documents: DocumentReader, orderId: string, lastVersion: number): AsyncIterable<OrderEvent> {
  const where: Condition[] = [{ field: "metadata.aggregateId", op: "eq", value: orderId }];
  if (Number.isFinite(lastVersion)) where.push({ field: "metadata.version", op: "lte", value: lastVersion });
  const query = {
    collection: orderHistory.collection.name,
    where,
    sort: [{ field: "metadata.version", descending: false }],
    limit: eventsPerRead,
  };
  let after: SortKey | undefined;
  do {
    const page: Page = await documents.find(after === undefined ? query : { ...query, after });
    for (const { fields } of page.documents) yield orderHistory.decode(fields);
    after = page.next;
  } while (after !== undefined);
}
