import { create } from "@bufbuild/protobuf";
import { projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { OrderCountsSchema, type OrderStatusCount, OrderStatusCountSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";

/** The one document of this view: a batch writes it once, however many orders it moves. */
export const orderCountsId = "all";

/** How many orders are in each status. Each event says where its order stood and stands, so none has to be looked up. */
export const orderCounts = projection({
  name: "order-counts",
  version: 1,
  event: OrderEventSchema,
  document: OrderCountsSchema,
  key: ({ status, previousStatus }) => (status === previousStatus ? undefined : orderCountsId),
  on: {},
  always: ({ statuses }, { event: { status, previousStatus } }) =>
    create(OrderCountsSchema, { statuses: withOrders(withOrders(statuses, previousStatus, -1n), status, 1n) }),
});

/** An order that does not exist is in no status. */
function withOrders(counts: readonly OrderStatusCount[], status: OrderStatus, change: bigint): OrderStatusCount[] {
  if (status === OrderStatus.UNSPECIFIED) return [...counts];
  const before = counts.find((count) => count.status === status)?.orderCount ?? 0n;
  const others = counts.filter((count) => count.status !== status);
  return [...others, create(OrderStatusCountSchema, { status, orderCount: before + change })].sort((a, b) => a.status - b.status);
}
