import type { Index } from "../../cqrs/documents.ts";
import type { SalesTotals } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";

/** What remains sold, by which sales are ranked. */
export function remainingOf(totals: SalesTotals) {
  return {
    remainingQuantity: atLeastZero(totals.quantity - totals.cancelledQuantity - totals.returnedQuantity),
    remainingMinorUnits: atLeastZero(totals.amountMinorUnits - totals.cancelledMinorUnits - totals.returnedMinorUnits),
  };
}

/** By name, and within a currency by what remains sold. */
export function salesIndexes(name: string): readonly Index[] {
  return [
    { name: "name", fields: [name] },
    { name: "currency-name", fields: ["totals.currencyCode", name] },
    { name: "currency-quantity", fields: ["totals.currencyCode", "remainingQuantity"] },
    { name: "currency-amount", fields: ["totals.currencyCode", "remainingMinorUnits"] },
  ];
}

/** More can have come back than was sold only where sums have reached their bounds, or where events lack what they should tell. */
function atLeastZero(remaining: bigint): bigint {
  return remaining > 0n ? remaining : 0n;
}
