/** Topics that do not belong together: whoever would decide on them ends instead. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  partitions,
  placeOrder,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { type PartitionPosition, PartitionPositionSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { type Log, LogRefusedError } from "../log.ts";
import { presentRecords } from "../present-records.ts";
import { IMPORT_KEY, POSITION_KEY, takeOver } from "./take-over.ts";

const { state, events } = orders.topics;
const DECIDED_IN = 1;

/** A log in which an order of one partition was created and placed, and no handler runs. */
async function decidedLog(): Promise<Log> {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const handler = startHandler(log);
  for (const command of [createOrder, placeOrder]) await submit(gateway, submission(orderIn(DECIDED_IN), command));
  await handler[Symbol.asyncDispose]();
  return log;
}

async function setPosition(log: Log, change: (position: PartitionPosition) => Partial<PartitionPosition>): Promise<void> {
  for await (const [found] of log.latest(state.name, DECIDED_IN, [POSITION_KEY])) {
    const position = fromBinary(PartitionPositionSchema, found?.value ?? new Uint8Array());
    const value = toBinary(PartitionPositionSchema, create(PartitionPositionSchema, { ...position, ...change(position) }));
    await log.append([{ topic: state.name, partition: DECIDED_IN, key: POSITION_KEY, value }]);
  }
}

async function appendEventAgain(log: Log, sequence: string): Promise<void> {
  const [[record] = []] = await Array.fromAsync(presentRecords(log, { topic: events.name, partition: DECIDED_IN }));
  if (record === undefined) throw new Error("there is no event");
  const headers = { ...record.headers, ce_sequence: sequence };
  await log.append([{ topic: events.name, partition: DECIDED_IN, key: record.key, value: Uint8Array.of(255), headers }]);
}

const setBacks: readonly (readonly [string, (log: Log) => Promise<void>, string])[] = [
  ["events that no state covers", (log) => appendEventAgain(log, "3"), `covers 2 events, and ${events.name} has 3`],
  ["state of events that are gone", (log) => setPosition(log, () => ({ sequence: 7n })), `covers 7 events, and ${events.name} has 2`],
  [
    "events without any state",
    (log) => log.append([{ topic: state.name, partition: DECIDED_IN, key: POSITION_KEY, value: null }]).then(() => undefined),
    `covers 0 events, and ${events.name} has 2`,
  ],
  [
    "state of another topic of events",
    (log) => setPosition(log, () => ({ stream: "another" })),
    `topic ${events.name} with the id another`,
  ],
  [
    "state of another topic of commands",
    (log) => setPosition(log, () => ({ commandsTopicId: "another" })),
    `topic ${orders.topics.commands.name} with the id another`,
  ],
  [
    "another command where the last one was that was decided",
    (log) => setPosition(log, ({ lastCommandMs }) => ({ lastCommandMs: lastCommandMs - 1n })),
    "is not the one that was decided",
  ],
  [
    "more partitions than commands were decided with",
    (log) => setPosition(log, () => ({ partitions: partitions - 1 })),
    `decided with ${partitions - 1} partitions, and the topics have ${partitions}`,
  ],
  [
    "a part of an import",
    (log) => log.append([{ topic: state.name, partition: 2, key: IMPORT_KEY, value: Uint8Array.of(1) }]).then(() => undefined),
    "a part of an import",
  ],
];

it.each(setBacks)("a handler ends where there are %s, and decides nothing", async (_, setBack, reason) => {
  const log = await decidedLog();
  await setBack(log);
  const before = await log.ends(events.name);
  const handler = startHandler(log);
  await expect(handler.stopped).rejects.toThrow(reason);
  await expect(handler.stopped).rejects.toThrow(LogRefusedError);
  expect(await log.ends(events.name)).toEqual(before);
});

it("a partition that was added is refused, although nothing was ever decided in it", async () => {
  const log = await decidedLog();
  // As if the partition had not been there when the others were decided.
  await setPosition(log, () => ({ partitions: partitions - 1 }));
  await using owner = await log.own({ group: "others", instance: "other", topic: orders.topics.commands.name, stateTopic: state.name });
  await owner.poll({ maxRecords: 1, maxBytes: 1, waitMs: 10 });
  await expect(takeOver({ log, domain: orders.domain, owner }, [partitions - 1])).rejects.toThrow("partitions were added");
});

it("a handler that comes back to topics that belong together goes on where the former one was", async () => {
  const log = await decidedLog();
  startHandler(log);
  const gateway = await openGateway(log);
  const again = await submit(gateway, submission(orderIn(DECIDED_IN), createOrder));
  expect(again.outcome?.rejection?.reason).toBe("ORDER_ALREADY_EXISTS");
  expect((await submit(gateway, submission(orderIn(DECIDED_IN, "another"), createOrder))).outcome).toMatchObject({ version: 1 });
});
