/** What tickets look like to those who read them. */

import { create } from "@bufbuild/protobuf";
import { projection } from "../cqrs/projection.ts";
import { TicketEventSchema } from "../gen/headwater/tickets/v1/ticket_event_pb.ts";
import { CommentSchema, TicketSchema, TicketStatus } from "../gen/headwater/tickets/v1/ticket_pb.ts";
import { type Workload, WorkloadSchema } from "../gen/headwater/tickets/v1/ticket_query_service_pb.ts";

/** Each ticket as it stands. */
export const tickets = projection({
  name: "tickets",
  version: 1,
  event: TicketEventSchema,
  document: TicketSchema,
  indexes: [
    { name: "opened", fields: ["openedAt"] },
    { name: "status", fields: ["status", "openedAt"] },
    { name: "assignee", fields: ["assignee", "openedAt"] },
    { name: "assignee-status", fields: ["assignee", "status", "openedAt"] },
  ],
  key: ({ metadata }) => metadata?.aggregateId,
  on: {
    ticketOpened: (_, { subject, reporter }, { metadata }) =>
      create(TicketSchema, {
        subject,
        reporter,
        status: TicketStatus.OPEN,
        ...(metadata.occurredAt && { openedAt: metadata.occurredAt }),
      }),
    ticketAssigned: (ticket, { assignee }) => ({ ...ticket, assignee }),
    ticketCommented: (ticket, { author, text }, { metadata }) => ({
      ...ticket,
      comments: [...ticket.comments, create(CommentSchema, { author, text, ...(metadata.occurredAt && { at: metadata.occurredAt }) })],
    }),
    ticketClosed: (ticket, { resolution }) => ({ ...ticket, resolution, status: TicketStatus.CLOSED }),
  },
  always: (ticket, { metadata }) => ({
    ...ticket,
    ticketId: metadata.aggregateId,
    version: metadata.version,
    ...(metadata.occurredAt && { updatedAt: metadata.occurredAt }),
  }),
});

/** How many tickets each person works on, and has closed. */
export const workload = projection({
  name: "ticket-workload",
  version: 1,
  event: TicketEventSchema,
  document: WorkloadSchema,
  key({ event, assignee }) {
    if (event.case === "ticketAssigned") return [event.value.assignee, event.value.previousAssignee].filter((name) => name !== "");
    return event.case === "ticketClosed" && assignee !== "" ? assignee : undefined;
  },
  on: {
    ticketAssigned: (before, { assignee }, { id }) => changed(before, id, { open: id === assignee ? 1n : -1n, closed: 0n }),
    ticketClosed: (before, _, { id }) => changed(before, id, { open: -1n, closed: 1n }),
  },
});

function changed(before: Workload, assignee: string, by: { readonly open: bigint; readonly closed: bigint }): Workload {
  const { openTickets, closedTickets } = before;
  return create(WorkloadSchema, { assignee, openTickets: openTickets + by.open, closedTickets: closedTickets + by.closed });
}
