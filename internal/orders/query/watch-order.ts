import type { Applied } from "../../cqrs/documents.ts";
import type { DocumentWatch } from "../../cqrs/query/document-watch.ts";
import type { Order } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { WatchOrderRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";

watchOrder.view = orders;

export interface OrderState {
  /** Undefined in the first state only: there is none, or none that the caller does not have. */
  readonly order: Order | undefined;
  readonly applied: Applied;
}

export async function* watchOrder(
  watch: DocumentWatch<Order>,
  { orderId, afterVersion }: WatchOrderRequest,
  signal: AbortSignal,
): AsyncGenerator<OrderState> {
  let version = afterVersion;
  let isFirst = true;
  for await (const { document, applied } of watch.follow(orderId, signal)) {
    const order = document !== undefined && document.version > version ? document : undefined;
    if (order !== undefined || isFirst) yield { order, applied };
    version = order?.version ?? version;
    isFirst = false;
  }
}
