import type { Projection } from "../../cqrs/projection.ts";
import { countrySales } from "./country-sales.ts";
import { customerSummary } from "./customer-summary.ts";
import { dailySales } from "./daily-sales.ts";
import { orders } from "./order.ts";
import { orderCounts } from "./order-counts.ts";
import { orderHistory } from "./order-history.ts";
import { productSales } from "./product-sales.ts";

/** All views of orders. A view that is added here is projected, waited for and listed everywhere. */
export const orderViews: readonly Projection[] = [
  orders,
  orderHistory,
  customerSummary,
  dailySales,
  productSales,
  countrySales,
  orderCounts,
];

/** The names that callers wait for. */
export const orderViewNames: readonly string[] = orderViews.map(({ name }) => name);
