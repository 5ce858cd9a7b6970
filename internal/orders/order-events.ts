import { createEventReader } from "../cqrs/upcasting.ts";
import { OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";

/**
 * The events of orders, as both sides read them: docs/evolution.md says what to do when they change.
 *
 * 1: the beginning. 2: every event says where its order stood and stands and the country that its sales count for; cancellations and returns
 * say their lines. An event of version 1 may lack these, and an upcaster that told some of them would make sums that never add up.
 */
export const orderEvents = createEventReader({ event: OrderEventSchema, schemaVersion: 2, upcasters: {} });
