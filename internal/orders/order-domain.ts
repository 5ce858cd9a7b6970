import type { Domain } from "../cqrs/domain.ts";
import { OrderCommandRecordSchema } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { order } from "./domain/order.ts";
import { orderStates } from "./domain/order-states.ts";
import { orderEvents } from "./order-events.ts";
import { orderTopics } from "./topics.ts";

/**
 * The version of what a command of an order can say: docs/evolution.md says what to do when it
 * changes. 1: the beginning.
 */
const COMMAND_SCHEMA_VERSION = 1;

/** Orders, as the runtime runs them. */
export const orderDomain: Domain = {
  aggregate: order,
  commandRecordSchema: OrderCommandRecordSchema,
  commandSchemaVersion: COMMAND_SCHEMA_VERSION,
  states: orderStates,
  topics: orderTopics,
  eventSource: "/headwater/orders",
  events: orderEvents,
};
