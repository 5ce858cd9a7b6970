/** An order in each of its states, by the commands that lead there. */

import {
  type Command,
  cancelOrder,
  createOrder,
  deliverOrder,
  eur,
  given,
  placeOrder,
  recordPayment,
  refundOrder,
  returnItems,
  shipOrder,
} from "./commands.ts";

const draft = [createOrder()];
const placed = [...draft, placeOrder()];
const paid = [...placed, recordPayment()];
const partlyShipped = [...paid, shipOrder({ shipmentId: "first", lines: [{ lineId: "1", quantity: 1 }] })];
const shipped = [...paid, shipOrder()];
const delivered = [...shipped, deliverOrder()];
const partlyReturned = [...delivered, returnItems()];
const rest = [
  { lineId: "1", quantity: 1 },
  { lineId: "2", quantity: 1 },
];
const returned = [...partlyReturned, returnItems({ returnId: "rest", lines: rest })];
const cancelled = [...paid, cancelOrder()];

/** "refunded" has two pasts, so it is here twice. */
export const histories = {
  absent: [],
  draft,
  placed,
  paid,
  partlyShipped,
  shipped,
  delivered,
  partlyReturned,
  returned,
  cancelled,
  refundedAfterCancellation: [...cancelled, refundOrder({ amount: eur(2500n) })],
  refundedAfterReturn: [...returned, refundOrder({ amount: eur(2500n) })],
} satisfies Readonly<Record<string, readonly Command[]>>;

export type History = keyof typeof histories;

/** The order after these commands, all of which must be accepted. */
export function after(...commands: readonly Command[]) {
  let history: Pick<ReturnType<typeof given>, "state" | "when"> = given();
  for (const command of commands) history = history.when(command);
  return history;
}
