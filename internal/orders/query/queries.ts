import type { QueriesOf } from "../../cqrs/query/query.ts";
import type { OrderQueryService } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { getCustomerSummary } from "./get-customer-summary.ts";
import { getOrder } from "./get-order.ts";
import { getOrderAsOf } from "./get-order-as-of.ts";
import { getOrderCounts } from "./get-order-counts.ts";
import { listDailySales } from "./list-daily-sales.ts";
import { listOrderEvents } from "./list-order-events.ts";
import { listOrders } from "./list-orders.ts";
import { listCountrySales, listProductSales } from "./list-sales.ts";

/** All queries that have one answer, by the names of their RPCs. One that is added here is served, and its view is projected. */
export const orderQueries: QueriesOf<typeof OrderQueryService> = {
  getOrder,
  getOrderAsOf,
  listOrders,
  listOrderEvents,
  getCustomerSummary,
  listDailySales,
  listProductSales,
  listCountrySales,
  getOrderCounts,
};
