import type { Domain } from "../cqrs/domain.ts";
import { OrderCommandRecordSchema } from "../gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderCommandService } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { order } from "./domain/order.ts";
import { orderStates } from "./domain/order-states.ts";
import { orderEvents } from "./order-events.ts";
import { orderReasons } from "./order-reasons.ts";
import { orderViews } from "./projection/views.ts";
import { orderQueries } from "./query/queries.ts";
import { orderStreams } from "./query/streams.ts";

/**
 * The version of what a command of an order can say: docs/evolution.md says what to do when it
 * changes. 1: the beginning.
 */
const COMMAND_SCHEMA_VERSION = 1;

/** Orders, as one value. */
export const orders: Domain = {
  name: "orders",
  aggregate: order,
  states: orderStates,
  events: orderEvents,
  commands: {
    service: OrderCommandService,
    aggregateId: "orderId",
    reasons: orderReasons,
    record: OrderCommandRecordSchema,
    schemaVersion: COMMAND_SCHEMA_VERSION,
  },
  queries: { service: OrderQueryService, unary: orderQueries, streams: orderStreams },
  views: orderViews,
};
