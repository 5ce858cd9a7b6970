import { create } from "@bufbuild/protobuf";
import { projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { DailySalesSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { addSales, salesOf } from "./sales.ts";
import { dayOf, happenedAt } from "./time.ts";

/** What was sold per day in UTC and currency. An event counts on the day it happened. */
export const dailySales = projection({
  name: "daily-sales",
  version: 1,
  event: OrderEventSchema,
  document: DailySalesSchema,
  indexes: [{ name: "day", fields: ["day"] }],
  key(event) {
    const sales = salesOf(event);
    if (sales === undefined || event.metadata === undefined) return undefined;
    return `${dayOf(happenedAt(event.metadata))}/${sales.currencyCode}`;
  },
  on: {},
  always(document, { event, metadata }) {
    const sales = salesOf(event);
    if (sales === undefined) return document;
    const totals = document.totals === undefined ? sales : addSales(document.totals, sales);
    return create(DailySalesSchema, { day: dayOf(happenedAt(metadata)), totals });
  },
});
