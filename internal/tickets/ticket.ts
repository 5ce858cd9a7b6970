/** The ticket: what may be asked of it, and what happens then. */

import { create } from "@bufbuild/protobuf";
import { aggregate, eventsOf, nothing, type Rejected, reject as rejectFor } from "../cqrs/aggregate.ts";
import { createStateReader } from "../cqrs/state-upcasting.ts";
import { createEventReader } from "../cqrs/upcasting.ts";
import { type RejectionReason, TicketCommandSchema } from "../gen/headwater/tickets/v1/ticket_command_service_pb.ts";
import { TicketEventSchema } from "../gen/headwater/tickets/v1/ticket_event_pb.ts";
import { TicketStatus } from "../gen/headwater/tickets/v1/ticket_pb.ts";
import { type TicketState, TicketStateSchema } from "../gen/headwater/tickets/v1/ticket_state_pb.ts";

/** The names of the contract's RejectionReason. */
export type Reason = Exclude<keyof typeof RejectionReason, "UNSPECIFIED">;

/** A ticket is one document, which has all of them. */
const MAX_COMMENTS = 200;

const event = eventsOf(TicketEventSchema);
const reject = rejectFor<Reason>;

/** The aggregate. */
export const ticket = aggregate(
  { state: TicketStateSchema, command: TicketCommandSchema, event: TicketEventSchema },
  {
    decide: {
      openTicket: ({ status }, { subject, reporter }) =>
        status === TicketStatus.UNSPECIFIED
          ? event("ticketOpened", { subject, reporter })
          : reject("TICKET_ALREADY_EXISTS", "There is a ticket with this id already; choose another id."),
      assignTicket: (state, { assignee }) => {
        if (state.status === TicketStatus.OPEN && state.assignee === assignee) return nothing;
        return refusal(state) ?? event("ticketAssigned", { assignee, previousAssignee: state.assignee });
      },
      commentTicket: (state, { author, text }) => {
        const full = state.comments >= MAX_COMMENTS;
        if (full) return reject("TOO_MANY_COMMENTS", `A ticket has at most ${MAX_COMMENTS} comments; open another one.`);
        return refusal(state) ?? event("ticketCommented", { author, text });
      },
      closeTicket: (state, { resolution }) => refusal(state) ?? event("ticketClosed", { resolution }),
    },
    evolve: {
      ticketOpened: (state) => create(TicketStateSchema, { ...state, status: TicketStatus.OPEN }),
      ticketAssigned: (state, { assignee }) => create(TicketStateSchema, { ...state, assignee }),
      ticketCommented: (state) => create(TicketStateSchema, { ...state, comments: state.comments + 1 }),
      ticketClosed: (state) => create(TicketStateSchema, { ...state, status: TicketStatus.CLOSED }),
    },
    envelope: ({ assignee }) => ({ assignee }),
  },
);

/** Why nothing can be done with a ticket; undefined: it is open. */
function refusal({ status }: TicketState): Rejected<Reason> | undefined {
  if (status === TicketStatus.UNSPECIFIED) return reject("TICKET_NOT_FOUND", "There is no ticket with this id; open it first.");
  if (status === TicketStatus.CLOSED) return reject("TICKET_CLOSED", "The ticket is closed; open another one.");
  return undefined;
}

/** Its events and its states, of all versions. 1: the beginning. */
export const ticketEvents = createEventReader({ event: TicketEventSchema, schemaVersion: 1, upcasters: {} });
export const ticketStates = createStateReader({ state: TicketStateSchema, schemaVersion: 1, upcasters: {} });
