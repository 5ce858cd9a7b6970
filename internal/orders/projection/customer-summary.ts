import { create } from "@bufbuild/protobuf";
import { projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { CustomerSummarySchema, type SalesTotals } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { addSales, salesOf } from "./sales.ts";
import { earlier, happenedAt, later } from "./time.ts";

/**
 * What a customer ordered, paid and gave back. His orders live in several partitions, whose events come in any order: the fold must not
 * depend on it.
 */
export const customerSummary = projection({
  name: "customer-summary",
  version: 1,
  event: OrderEventSchema,
  document: CustomerSummarySchema,
  // A guest has no summary.
  key: (event) => event.customerId || undefined,
  on: {
    orderCreated: (summary, _facts, { metadata }) => ({ ...summary, firstOrderAt: earlier(summary.firstOrderAt, happenedAt(metadata)) }),
  },
  always: (summary, { id, event, metadata }) =>
    create(CustomerSummarySchema, {
      ...summary,
      customerId: id,
      totals: withSales(summary.totals, salesOf(event)),
      lastActivityAt: later(summary.lastActivityAt, happenedAt(metadata)),
    }),
});

function withSales(totals: readonly SalesTotals[], sales: SalesTotals | undefined): SalesTotals[] {
  if (sales === undefined) return [...totals];
  const before = totals.find(({ currencyCode }) => currencyCode === sales.currencyCode);
  const others = totals.filter((total) => total !== before);
  return [...others, before === undefined ? sales : addSales(before, sales)].sort(byCurrency);
}

function byCurrency(a: SalesTotals, b: SalesTotals): number {
  return a.currencyCode < b.currencyCode ? -1 : 1;
}
