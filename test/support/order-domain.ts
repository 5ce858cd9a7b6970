/** Orders without a namespace. */

import { type DeployedDomain, deployDomain } from "../../internal/cqrs/domain.ts";
import type { Member } from "../../internal/cqrs/oneof.ts";
import type { OrderCommand } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { orders } from "../../internal/orders/orders.ts";

/** A command of an order, as its RPC takes it. */
export type AnyOrderCommand = Member<OrderCommand["command"]>;

export const orderDomain: DeployedDomain = deployDomain(orders);
export const { topics: orderTopics, groups: orderGroups } = orderDomain;
