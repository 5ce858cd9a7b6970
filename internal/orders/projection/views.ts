import type { Projection } from "../../cqrs/projection.ts";
import { customerSummary } from "./customer-summary.ts";
import { dailySales } from "./daily-sales.ts";
import { orders } from "./order.ts";
import { orderHistory } from "./order-history.ts";

/** All views of orders. A view that is added here is projected, waited for and listed everywhere. */
export const orderViews: readonly Projection[] = [orders, orderHistory, customerSummary, dailySales];

/** The names that callers wait for. */
export const orderViewNames: readonly string[] = orderViews.map(({ name }) => name);
