import type { Domain, RefusalCode } from "../cqrs/domain.ts";
import { TicketCommandRecordSchema } from "../gen/headwater/tickets/v1/ticket_command_record_pb.ts";
import { TicketCommandService } from "../gen/headwater/tickets/v1/ticket_command_service_pb.ts";
import { TicketQueryService } from "../gen/headwater/tickets/v1/ticket_query_service_pb.ts";
import { ticketQueries } from "./queries.ts";
import { type Reason, ticket, ticketEvents, ticketStates } from "./ticket.ts";
import { tickets as ticketView, workload } from "./views.ts";

/** The version of what a command of a ticket can say. 1: the beginning. */
const COMMAND_SCHEMA_VERSION = 1;

const reasons = {
  TICKET_NOT_FOUND: "NOT_FOUND",
  TICKET_ALREADY_EXISTS: "ALREADY_EXISTS",
  TICKET_CLOSED: "FAILED_PRECONDITION",
  TOO_MANY_COMMENTS: "FAILED_PRECONDITION",
} as const satisfies Record<Reason, RefusalCode>;

/** Tickets, as one value. */
export const tickets: Domain = {
  name: "tickets",
  aggregate: ticket,
  states: ticketStates,
  events: ticketEvents,
  commands: {
    service: TicketCommandService,
    aggregateId: "ticketId",
    reasons,
    record: TicketCommandRecordSchema,
    schemaVersion: COMMAND_SCHEMA_VERSION,
  },
  queries: { service: TicketQueryService, unary: ticketQueries, streams: () => ({}) },
  views: [ticketView, workload],
};
