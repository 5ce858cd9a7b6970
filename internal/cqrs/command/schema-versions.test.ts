/** Commands and states that newer or older code has written, and commands for events that are no longer there. */

import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import { readHistory } from "../../../test/support/history-checker.ts";
import {
  changeQuantity,
  createOrder,
  inquiry,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  partitions,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { AggregateSnapshotSchema, DeadLetterSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { OrderStateSchema } from "../../gen/headwater/orders/v1/order_state_pb.ts";
import type { DeployedDomain } from "../domain.ts";
import type { Log } from "../log.ts";
import { createStateReader, type StateUpcaster } from "../state-upcasting.ts";
import type { Submission } from "./command-gateway.ts";

const today = orders.domain;
const [here, elsewhere] = [orderIn(0), orderIn(1)];

/** Tomorrow's commands can say more. */
const newerCommands: DeployedDomain = { ...today, commands: { ...today.commands, schemaVersion: today.commands.schemaVersion + 1 } };

/** Tomorrow's states have another field of each customer: he is louder. */
const upcasters = { [today.states.schemaVersion]: ({ customerId }) => ({ customerId: `${customerId}!` }) } satisfies {
  readonly [version: number]: StateUpcaster<typeof OrderStateSchema>;
};
const schemaVersion = today.states.schemaVersion + 1;
const newerStates: DeployedDomain = { ...today, states: createStateReader({ state: OrderStateSchema, schemaVersion, upcasters }) };

/** A handler of today, and what it says that it waits for. */
function startToday(log: Log) {
  let reasons: readonly string[] = [];
  const onWaiting = (waiting: ReadonlyMap<number, string>) => {
    reasons = [...waiting].map(([partition, reason]) => `${partition}: ${reason}`);
  };
  return { ...startHandler(log, "today", today, { onWaiting }), reasons: () => reasons };
}

it.each([
  ["a command", (sent: Submission) => sent],
  ["an inquiry", inquiry],
])(
  "%s of a newer version waits for a newer handler, with all behind it in its partition; what lies elsewhere goes on",
  async (_, change) => {
    const log = await openOrderLog();
    const [older, newer] = [await openGateway(log), await openGateway(log, { domain: newerCommands })];
    const old = startToday(log);
    await submit(older, submission(here, createOrder));
    await submit(newer, change(submission(here, changeQuantity(3))), CommandStage.ACCEPTED);
    await expect.poll(old.reasons).toEqual([expect.stringContaining("has schema version 2, and this code knows none beyond 1")]);
    const behind = submission(here, changeQuantity(4));
    await submit(older, behind, CommandStage.ACCEPTED);
    expect((await submit(older, submission(elsewhere, createOrder))).outcome).toMatchObject({ version: 1 });
    const [partition] = await readHistory(log, today);
    expect([partition?.events, partition?.deadLetters]).toMatchObject([{ length: 1 }, []]);
    await old[Symbol.asyncDispose]();

    startHandler(log, "tomorrow", newerCommands);
    const { outcome } = await submit(older, behind);
    expect(outcome?.rejection).toBeUndefined();
  },
);

it("a command that says more than this code knows waits too, whatever its version", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const old = startToday(log);
  const unknown = new BinaryWriter().tag(1000, WireType.Varint).uint32(1).finish();
  const known = submission(here, createOrder);
  const command = Buffer.concat([Buffer.from(known.command ?? []), Buffer.from(unknown)]);
  await submit(gateway, { ...known, command }, CommandStage.ACCEPTED);
  await expect
    .poll(old.reasons)
    .toEqual([expect.stringContaining("OrderCommandRecord has a field that this code does not know: command.1000")]);
  const [partition] = await readHistory(log, today);
  expect([partition?.events, partition?.deadLetters]).toEqual([[], []]);
});

it("a command that was accepted for another stream of events is refused, kept for an operator, and decided when it comes again", async () => {
  const log = await openOrderLog();
  const [gateway, other] = [await openGateway(log), await openGateway({ ...log, topicId: () => "another" })];
  startHandler(log);
  const command = submission(here, createOrder);
  const { outcome } = await submit(other, command);
  expect(outcome?.rejection?.reason).toBe("COMMAND_NOT_DECODABLE");
  expect((await submit(other, inquiry(command))).outcome?.rejection?.reason).toBe("COMMAND_NOT_DECODABLE");
  const [partition] = await readHistory(log, today);
  const letters = partition?.deadLetters.map(({ value }) => fromBinary(DeadLetterSchema, value));
  const error = `it was accepted for the stream "another", but the id of the events topic is "${log.topicId(orders.topics.events.name)}"`;
  expect(letters).toMatchObject([{ key: here, error: expect.stringContaining(error) as unknown }]);
  expect(partition?.state.has(here)).toBe(false);
  expect((await submit(gateway, command)).outcome).toMatchObject({ version: 1 });
});

it("a state that older code wrote is brought to today's before anything is decided on it", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const old = startHandler(log);
  await submit(gateway, submission(here, createOrder));
  await old[Symbol.asyncDispose]();
  const next = startHandler(log, "tomorrow", newerStates);
  await submit(gateway, submission(here, changeQuantity(3)));
  await next[Symbol.asyncDispose]();
  const [partition] = await readHistory(log, today);
  expect(partition?.events.map(({ value }) => orders.events.read(value))).toMatchObject([{ customerId: "ada" }, { customerId: "ada!" }]);
  expect(snapshotOf(partition?.state.get(here))).toMatchObject({ schemaVersion });

  // Older code that gets the partition back leaves it alone, but for what lies elsewhere.
  const waiting = startToday(log);
  await submit(gateway, submission(here, changeQuantity(4)), CommandStage.ACCEPTED);
  await expect
    .poll(waiting.reasons)
    .toEqual([
      `0: the state of ${here} was written by a newer command handler: it has schema version 2, and this code knows none beyond 1`,
    ]);
  expect((await submit(gateway, submission(elsewhere, createOrder))).outcome).toMatchObject({ version: 1 });
  await waiting[Symbol.asyncDispose]();
  startHandler(log, "tomorrow", newerStates);
  expect((await submit(gateway, submission(here, changeQuantity(5)))).outcome).toMatchObject({ version: 4 });
});

it("a state that counts another stream of events is not decided on", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const snapshot = create(AggregateSnapshotSchema, { aggregateId: here, version: 3, schemaVersion: 1, stream: "another" });
  await log.append([{ topic: orders.topics.state.name, partition: 0, key: here, value: toBinary(AggregateSnapshotSchema, snapshot) }]);
  const { stopped } = startHandler(log);
  await submit(gateway, { ...submission(here, createOrder), commandId: randomUUID() }, CommandStage.ACCEPTED);
  await expect(stopped).rejects.toThrow(`the state of ${here} counts the events of another stream ("another")`);
});

it("commands and states say their version and stream", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  startHandler(log);
  await submit(gateway, submission(here, createOrder));
  const [partition] = await readHistory(log, today);
  const said = { schemaVersion: 1, stream: log.topicId(orders.topics.events.name) };
  expect(partition?.commands.map(({ value }) => fromBinary(today.commands.record, value).metadata)).toMatchObject([said]);
  expect(snapshotOf(partition?.state.get(here))).toMatchObject(said);
  expect(log.partitions).toBe(partitions);
});

function snapshotOf(value: Uint8Array | undefined) {
  return fromBinary(AggregateSnapshotSchema, value ?? new Uint8Array());
}
