/** The order: what may be asked of it, and what happens then. Every rule of the business is in this folder; no technology is. */

import { aggregate, type DecisionContext, isRejected } from "../../cqrs/aggregate.ts";
import { OrderCommandSchema } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type OrderState, OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import { type OrderDecision, reject } from "./decision.ts";
import { addLine, cancelOrder, changeLineQuantity, createOrder, placeOrder, removeLine, setShippingAddress } from "./draft.ts";
import { evolve } from "./evolve.ts";
import { deliverOrder, returnItems, shipOrder } from "./fulfilment.ts";
import { recordPayment, refundOrder } from "./payment.ts";
import { exists, statusName } from "./status.ts";

export const order = aggregate(
  { state: OrderStateSchema, command: OrderCommandSchema, event: OrderEventSchema },
  {
    decide: {
      createOrder,
      addLine: ofExisting(addLine),
      changeLineQuantity: ofExisting(changeLineQuantity),
      removeLine: ofExisting(removeLine),
      setShippingAddress: ofExisting(setShippingAddress),
      placeOrder: ofExisting(placeOrder),
      recordPayment: ofExisting(recordPayment),
      shipOrder: ofExisting(shipOrder),
      deliverOrder: ofExisting(deliverOrder),
      cancelOrder: ofExisting(cancelOrder),
      returnItems: ofExisting(returnItems),
      refundOrder: ofExisting(refundOrder),
    },
    evolve,
    envelope: (state, before) => ({
      customerId: state.customerId,
      previousStatus: before.status,
      status: state.status,
      salesCountry: state.salesCountry,
    }),
  },
);

type Decider<Command> = (state: OrderState, command: Command, context: DecisionContext) => OrderDecision;

/** Refuses what is asked of an order that does not exist, and says in every other refusal where the order stands. */
function ofExisting<Command>(decide: Decider<Command>): Decider<Command> {
  return (state, command, context) => {
    if (!exists(state)) return reject("ORDER_NOT_FOUND", "There is no order with this id; create it first.");
    const decision = decide(state, command, context);
    return isRejected(decision) ? { ...decision, metadata: { ...decision.metadata, status: statusName(state) } } : decision;
  };
}
