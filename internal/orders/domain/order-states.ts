import { createStateReader } from "../../cqrs/state-upcasting.ts";
import { OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";

/** The states of orders: docs/evolution.md says what to do when they change. 1: the beginning. */
export const orderStates = createStateReader({ state: OrderStateSchema, schemaVersion: 1, upcasters: {} });
