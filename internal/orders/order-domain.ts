import type { Domain } from "../cqrs/domain.ts";
import { OrderCommandRecordSchema } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { order } from "./domain/order.ts";
import { orderEvents } from "./order-events.ts";
import { orderTopics } from "./topics.ts";

/** Orders, as the runtime runs them. */
export const orderDomain: Domain = {
  aggregate: order,
  commandRecordSchema: OrderCommandRecordSchema,
  topics: orderTopics,
  eventSource: "/headwater/orders",
  events: orderEvents,
};
