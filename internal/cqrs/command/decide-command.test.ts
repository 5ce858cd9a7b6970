import { create, fromBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { createOrder, orders, submission } from "../../../test/support/order-runtime.ts";
import { CommandMetadataSchema, CommandOutcomeSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import type { Domain } from "../domain.ts";
import { decideCommand } from "./decide-command.ts";
import { emptySnapshot, type Snapshot } from "./snapshots.ts";

const { aggregate } = orders.domain;

function newOrder(): Snapshot {
  return emptySnapshot(aggregate, "order-1");
}

function commandToCreate() {
  const { aggregateId, commandId, fingerprint, command = new Uint8Array() } = submission("order-1", createOrder);
  const metadata = create(CommandMetadataSchema, { aggregateId, commandId, fingerprint });
  return { metadata, command: fromBinary(aggregate.commandSchema, command) };
}

function readOutcome(bytes: Uint8Array | undefined) {
  return bytes && fromBinary(CommandOutcomeSchema, bytes);
}

it("events follow the last sequence of the partition and the version of the order", () => {
  const snapshot = newOrder();
  const { events, outcome } = decideCommand(orders.domain, snapshot, commandToCreate(), 41);
  expect(events).toMatchObject([{ metadata: { eventId: "order-1/1", version: 1, sequence: 42n } }]);
  expect(readOutcome(outcome)).toMatchObject({ version: 1, sequence: 42n });
  expect(snapshot).toMatchObject({ version: 1, sequence: 42 });
});

it.each(["decide", "happen"] as const)(
  "where the domain's %s fails, the command is refused as poison and nothing else has happened",
  (step) => {
    const failing: Domain = {
      ...orders.domain,
      aggregate: {
        ...aggregate,
        [step]: () => {
          throw new RangeError("no such date");
        },
      },
    };
    const snapshot = newOrder();
    const command = commandToCreate();
    const decided = decideCommand(failing, snapshot, command, 41);
    expect(decided).toMatchObject({ events: [], changed: true, poison: "no such date" });
    expect(readOutcome(decided.outcome)).toMatchObject({ version: 0, rejection: { reason: "COMMAND_NOT_DECODABLE" } });
    expect(snapshot).toMatchObject({ version: 0, sequence: 0, state: aggregate.initial() });
    expect(decideCommand(orders.domain, snapshot, command, 41).outcome).toEqual(decided.outcome);
  },
);
