import { describe, expect, it } from "vitest";
import { rejected, specification } from "../cqrs/testing/given.ts";
import { TicketStatus } from "../gen/headwater/tickets/v1/ticket_pb.ts";
import { ticket } from "./ticket.ts";

const { given } = specification(ticket);

const open = { case: "openTicket", value: { subject: "Where is my tea?", reporter: "ada" } } as const;
const assign = (assignee: string) => ({ case: "assignTicket", value: { assignee } }) as const;
const comment = { case: "commentTicket", value: { author: "bob", text: "On its way." } } as const;
const close = { case: "closeTicket", value: { resolution: "It came." } } as const;

const opened = () => given().when(open);

describe("a ticket", () => {
  it("is opened once", () => {
    const { state } = opened();
    expect(state).toMatchObject({ status: TicketStatus.OPEN, assignee: "" });
    opened().when(open).expect(rejected("TICKET_ALREADY_EXISTS"));
  });

  it.each([assign("ada"), comment, close])("is opened before $case", (command) => {
    given().when(command).expect(rejected("TICKET_NOT_FOUND"));
  });

  it.each([assign("bob"), comment, close])("takes no $case when it is closed", (command) => {
    opened().when(assign("ada")).when(close).when(command).expect(rejected("TICKET_CLOSED"));
  });

  it("is passed on, and knows who had it before", () => {
    const assigned = opened().when(assign("ada"));
    expect(assigned.decision).toMatchObject([{ case: "ticketAssigned", value: { assignee: "ada", previousAssignee: "" } }]);
    const passedOn = assigned.when(assign("bob"));
    expect(passedOn.decision).toMatchObject([{ case: "ticketAssigned", value: { assignee: "bob", previousAssignee: "ada" } }]);
    passedOn.when(assign("bob")).expect();
  });

  it("has at most 200 comments", () => {
    let commented = opened().when(comment);
    for (let count = 1; count < 200; count += 1) commented = commented.when(comment);
    commented.when(comment).expect(rejected("TOO_MANY_COMMENTS"));
    expect(commented.state.comments).toBe(200);
  });
});
