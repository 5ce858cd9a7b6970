import { deployDomain } from "../../internal/cqrs/domain.ts";
import { orders } from "../../internal/orders/orders.ts";

export const orderDomain = deployDomain(orders);
export const { topics: orderTopics, groups: orderGroups } = orderDomain;
