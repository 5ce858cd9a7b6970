import { create } from "@bufbuild/protobuf";
import { projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { CountrySalesSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { addSales, salesOf } from "./sales.ts";
import { remainingOf, salesIndexes } from "./sales-ranking.ts";

/** What was sold per country and currency. Each event names the country that its order was placed for, so all of an order counts there. */
export const countrySales = projection({
  name: "country-sales",
  version: 1,
  event: OrderEventSchema,
  document: CountrySalesSchema,
  indexes: salesIndexes("country"),
  key(event) {
    const sales = salesOf(event);
    return sales && `${event.salesCountry}/${sales.currencyCode}`;
  },
  on: {},
  always(document, { event }) {
    const sales = salesOf(event);
    if (sales === undefined) return document;
    const totals = document.totals === undefined ? sales : addSales(document.totals, sales);
    return create(CountrySalesSchema, { country: event.salesCountry, totals, ...remainingOf(totals) });
  },
});
