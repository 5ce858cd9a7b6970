/** The words in which the order says yes and no. */

import { type Decision, eventsOf, type Rejected, reject as rejectFor } from "../../cqrs/aggregate.ts";
import type { UnionOf } from "../../cqrs/oneof.ts";
import type { RejectionReason } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";

/** The names of the contract's RejectionReason, so that a misspelt reason does not compile. */
export type Reason = Exclude<keyof typeof RejectionReason, "UNSPECIFIED">;

export type Refusal = Rejected<Reason>;

export type OrderDecision = Decision<UnionOf<typeof OrderEventSchema>, Reason>;

export const event = eventsOf(OrderEventSchema);

export const reject = rejectFor<Reason>;
