/** What may be asked about tickets. */

import { create } from "@bufbuild/protobuf";
import type { Condition, DocumentReader } from "../cqrs/documents.ts";
import { findPage, type PageSizes } from "../cqrs/query/find-page.ts";
import { loadDocument } from "../cqrs/query/load-document.ts";
import { notFound, type QueriesOf } from "../cqrs/query/query.ts";
import { writtenJustNow } from "../cqrs/query/written-just-now.ts";
import { TicketStatus, TicketStatusSchema } from "../gen/headwater/tickets/v1/ticket_pb.ts";
import {
  type GetTicketRequest,
  type GetWorkloadRequest,
  type ListTicketsRequest,
  ListTicketsRequestSchema,
  type TicketQueryService,
  WorkloadSchema,
} from "../gen/headwater/tickets/v1/ticket_query_service_pb.ts";
import { tickets, workload } from "./views.ts";

const pageSizes: PageSizes = { default: 50, maximum: 500 };

getTicket.view = tickets;

async function getTicket(documents: DocumentReader, { ticketId }: GetTicketRequest) {
  const ticket = await loadDocument(documents, tickets, ticketId);
  return ticket === undefined
    ? notFound("TICKET_NOT_FOUND", `there is no ticket ${JSON.stringify(ticketId)}; ${writtenJustNow}`)
    : { ticket };
}

listTickets.view = tickets;

/** @throws {PageTokenError} the page token does not belong to this list */
async function listTickets(documents: DocumentReader, request: ListTicketsRequest) {
  const { status, assignee } = request;
  const where: Condition[] = [];
  if (assignee !== "") where.push({ field: "assignee", op: "eq", value: assignee });
  if (status !== TicketStatus.UNSPECIFIED)
    where.push({ field: "status", op: "eq", value: TicketStatusSchema.value[status]?.localName ?? status });
  const sort = [{ field: "openedAt", descending: true }];
  const { items, nextPageToken } = await findPage(documents, {
    view: tickets,
    schema: ListTicketsRequestSchema,
    request,
    pageSizes,
    where,
    sort,
  });
  return { tickets: items, nextPageToken };
}

getWorkload.view = workload;

async function getWorkload(documents: DocumentReader, { assignee }: GetWorkloadRequest) {
  return { workload: (await loadDocument(documents, workload, assignee)) ?? create(WorkloadSchema, { assignee }) };
}

/** By the names of their RPCs. */
export const ticketQueries: QueriesOf<typeof TicketQueryService> = { getTicket, listTickets, getWorkload };
