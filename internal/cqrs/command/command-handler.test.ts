/** What the gateway, the handler and the log do together. */

import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { readHistory } from "../../../test/support/history-checker.ts";
import {
  changeQuantity,
  connectOrderLog,
  createOrder,
  inquiry,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  placeOrder,
  problemsIn,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { DeadLetterSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../gen/headwater/orders/v1/order_command_record_pb.ts";
import { FencedError, type Log, LogUnavailableError } from "../log.ts";
import { partitionOf } from "../partition.ts";
import { OutcomeUnknownError, OverloadedError, type Submission, type Submitted } from "./command-gateway.ts";

const patient = { stage: CommandStage.DECIDED, views: [] };

async function started() {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const handler = startHandler(log);
  return { log, gateway, handler };
}

async function eventCount(log: Log): Promise<number> {
  return (await log.ends(orders.topics.events.name)).reduce((sum, end) => sum + end, 0);
}

async function deadLetters(log: Log) {
  const history = await readHistory(log, orders.domain);
  return history.flatMap((partition) => partition.deadLetters).map((record) => fromBinary(DeadLetterSchema, record.value));
}

it("a command that is sent twice at the same time is decided once and answered alike", async () => {
  const { log, gateway } = await started();
  const second = await openGateway(log);
  const command = submission("order-1", createOrder, { commandId: randomUUID() });
  const [a, b, c] = await Promise.all([submit(gateway, command), submit(second, command), submit(gateway, command)]);
  expect(a?.outcome).toMatchObject({ version: 1 });
  expect([b?.outcome, c?.outcome]).toEqual([a?.outcome, a?.outcome]);
  expect(await eventCount(log)).toBe(1);
  expect(
    await problemsIn(
      log,
      [a, b, c].map((answer) => ({ ...answer, aggregateId: "order-1" })),
    ),
  ).toEqual([]);
});

it("a command id that is used for other facts is a conflict and leaves nothing behind", async () => {
  const { log, gateway } = await started();
  const commandId = randomUUID();
  const first = await submit(gateway, submission("order-1", createOrder, { commandId }));
  const other = { ...createOrder, value: { ...createOrder.value, customerId: "grace" } } as typeof createOrder;
  const before = (await readHistory(log, orders.domain)).map(({ state }) => state.get("order-1"));
  const conflict = await submit(gateway, submission("order-1", other, { commandId }));
  expect(conflict.outcome?.rejection?.reason).toBe("COMMAND_ID_REUSED");
  expect((await readHistory(log, orders.domain)).map(({ state }) => state.get("order-1"))).toEqual(before);
  expect((await submit(gateway, submission("order-1", createOrder, { commandId }))).outcome).toEqual(first.outcome);
  const expecting = await submit(gateway, submission("order-1", createOrder, { commandId, expectedVersion: 0 }));
  expect(expecting.outcome?.rejection?.reason).toBe("COMMAND_ID_REUSED");
  expect(await problemsIn(log)).toEqual([]);
});

it("a retry gets the first answer from the next handler too", async () => {
  const { log, gateway, handler } = await started();
  const command = submission("order-1", createOrder);
  const first = await submit(gateway, command);
  await handler[Symbol.asyncDispose]();
  startHandler(log, "next");
  expect((await submit(gateway, command)).outcome).toEqual(first.outcome);
  expect(await problemsIn(log)).toEqual([]);
});

it("of two writers with one expected version one wins, and the other learns the current one", async () => {
  const { log, gateway } = await started();
  await submit(gateway, submission("order-1", createOrder));
  const writers = [3, 4].map((quantity) => submission("order-1", changeQuantity(quantity), { expectedVersion: 1 }));
  const outcomes = (await Promise.all(writers.map((command) => submit(gateway, command)))).map(({ outcome }) => outcome);
  expect(outcomes.map((outcome) => outcome?.rejection?.reason)).toEqual([undefined, "VERSION_MISMATCH"]);
  expect(outcomes[1]?.rejection?.metadata).toEqual({ expected_version: "1", current_version: "2" });
  expect(await problemsIn(log)).toEqual([]);
});

it("a rejection is remembered, also when the order would now accept", async () => {
  const { log, gateway } = await started();
  const early = submission("order-1", placeOrder);
  const refused = await submit(gateway, early);
  expect(refused.outcome?.rejection?.reason).toBe("ORDER_NOT_FOUND");
  await submit(gateway, submission("order-1", createOrder));
  expect((await submit(gateway, early)).outcome).toEqual(refused.outcome);
  expect((await submit(gateway, submission("order-1", placeOrder))).outcome?.rejection).toBeUndefined();
  expect(await problemsIn(log)).toEqual([]);
});

it("an inquiry finds the outcome of a command and none of an unknown one", async () => {
  const { log, gateway } = await started();
  const command = submission("order-1", createOrder);
  expect((await submit(gateway, inquiry(command))).outcome).toBeUndefined();
  const decided = await submit(gateway, command);
  expect((await submit(gateway, inquiry(command))).outcome).toEqual(decided.outcome);
  expect(await eventCount(log)).toBe(1);
  expect(await problemsIn(log)).toEqual([]);
});

it("lost replies are healed by an inquiry", async () => {
  const log = await openOrderLog();
  const losses = losing(log);
  startHandler(losses.log);
  const gateway = await openGateway(log);
  losses.next(2);
  const answer = await submit(gateway, submission("order-1", createOrder));
  expect(answer.outcome).toMatchObject({ version: 1 });
  expect(losses.left()).toBe(0);
  expect(await problemsIn(log, [{ ...answer, aggregateId: "order-1" }])).toEqual([]);
});

it("a command with the id of another learns that, also when the reply was lost", async () => {
  const log = await openOrderLog();
  const losses = losing(log);
  startHandler(losses.log);
  const gateway = await openGateway(log);
  const first = submission("order-1", createOrder);
  const { outcome } = await submit(gateway, first);
  losses.next(1);
  const other = { ...submission("order-1", placeOrder), commandId: first.commandId };
  expect((await submit(gateway, other)).outcome?.rejection?.reason).toBe("COMMAND_ID_REUSED");
  expect(losses.left()).toBe(0);
  // A command that does not say what it is has other facts; a question that does not is told what became of the first.
  const { outcome: unsaid } = await submit(gateway, { ...other, fingerprint: new Uint8Array() });
  expect(unsaid?.rejection?.reason).toBe("COMMAND_ID_REUSED");
  expect((await submit(gateway, { ...inquiry(first), fingerprint: new Uint8Array() })).outcome).toEqual(outcome);
});

it.each([
  ["cannot be decoded", (key: string) => ({ key, value: Uint8Array.of(255, 255, 255) })],
  ["is empty", (key: string) => ({ key, value: new Uint8Array() })],
  ["has another key than its metadata", (key: string) => ({ key, value: commandOf(orderIn(0, "other")) })],
  ["is in a partition that its key does not belong to", () => ({ key: orderIn(1), value: commandOf(orderIn(1)) })],
  ["has the key of the handler's own position", () => ({ key: "__position", value: commandOf("__position") })],
  ["has no command id", (key: string) => ({ key, value: commandOf(key, "") })],
])("a command record that %s goes to the dead letters, and everything else goes on", async (_, recordOf) => {
  const { log, gateway, handler } = await started();
  const [inPartition, elsewhere] = [orderIn(0), orderIn(1)];
  await submit(gateway, submission(inPartition, createOrder));
  const bad = recordOf(inPartition);
  await log.append([{ topic: orders.topics.commands.name, partition: 0, ...bad }]);
  const answers = await Promise.race([
    Promise.all([submit(gateway, submission(inPartition, changeQuantity(5))), submit(gateway, submission(elsewhere, createOrder))]),
    handler.stopped.then(() => []),
  ]);
  expect(answers.map(({ outcome }) => outcome?.version)).toEqual([2, 1]);
  const letters = await deadLetters(log);
  expect(letters).toHaveLength(1);
  expect(letters[0]).toMatchObject({ topic: orders.topics.commands.name, partition: 0, offset: 1n, key: bad.key });
  expect([...(letters[0]?.value ?? [])]).toEqual([...bad.value]);
  expect(letters[0]?.error).not.toBe("");
  expect(await problemsIn(log)).toEqual([]);
});

it("a command of a newer version is refused and kept for an operator", async () => {
  const { log, gateway } = await started();
  const future: Submission = { ...submission("order-1", createOrder), command: new Uint8Array() };
  const answer = await submit(gateway, future);
  expect(answer.outcome?.rejection?.reason).toBe("COMMAND_NOT_DECODABLE");
  expect((await submit(gateway, future)).outcome).toEqual(answer.outcome);
  expect(await deadLetters(log)).toHaveLength(1);
  expect((await submit(gateway, submission("order-1", createOrder))).outcome).toMatchObject({ version: 1 });
  expect(await problemsIn(log)).toEqual([]);
});

it.each([
  ["stops", { status: "fulfilled" }],
  ["loses its connection", { status: "rejected", reason: expect.any(LogUnavailableError) as unknown }],
  ["is replaced", { status: "rejected", reason: expect.any(FencedError) as unknown }],
])("when one of two handlers %s nothing is lost, doubled or out of order", async (end, expected) => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const connection = await connectOrderLog(log);
  const leaving = startHandler(connection, "leaving");
  startHandler(log, "staying");
  const answered: (Submitted & { aggregateId: string })[] = [];
  const clients = Array.from({ length: 8 }, async (_, client) => {
    const id = `order-${client}`;
    for (let count = 0; count < 40; count += 1) {
      const command = submission(id, count === 0 ? createOrder : changeQuantity(2 + count));
      answered.push({ ...(await submit(gateway, command)), aggregateId: id });
    }
  });
  await expect.poll(() => answered.length, { timeout: 30_000 }).toBeGreaterThan(60);
  const ended = Promise.allSettled([leaving.stopped]);
  if (end === "stops") await leaving[Symbol.asyncDispose]();
  else if (end === "loses its connection") await connection[Symbol.asyncDispose]();
  else {
    const usurper = await log.own({
      group: orders.groups.handler,
      instance: "leaving",
      topic: orders.topics.commands.name,
      stateTopic: orders.topics.state.name,
    });
    await usurper.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 10 });
    await ended;
    await usurper[Symbol.asyncDispose]();
  }
  expect(await ended).toMatchObject([expected]);
  await Promise.all(clients);
  expect(answered.every(({ outcome }) => outcome?.rejection === undefined)).toBe(true);
  expect(await eventCount(log)).toBe(8 * 40);
  expect(await problemsIn(log, answered)).toEqual([]);
});

it("a handler that does not know whether its transaction was written starts again without doubling it", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const unsure: Log = {
    ...log,
    async own(options) {
      const owner = await log.own(options);
      return {
        ...owner,
        async transact(transaction) {
          await owner.transact(transaction);
          throw new LogUnavailableError("no answer");
        },
      };
    },
  };
  const failing = startHandler(unsure);
  const answer = submit(gateway, submission("order-1", createOrder));
  await expect(failing.stopped).rejects.toThrow(LogUnavailableError);
  startHandler(log);
  expect((await answer).outcome).toMatchObject({ version: 1 });
  expect(await problemsIn(log, [{ ...(await answer), aggregateId: "order-1" }])).toEqual([]);
});

it("what was decided on top of a slice that is fenced is forgotten with it", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  let transactions = 0;
  let fenced = 0;
  const harassed: Log = {
    ...log,
    async own(options) {
      const owner = await log.own(options);
      return {
        ...owner,
        async transact(transaction) {
          // Long enough for more to be decided meanwhile.
          for (let turn = 0; turn < 5; turn += 1) await log.ends(orders.topics.commands.name);
          transactions += 1;
          if (transactions % 3 !== 0) return owner.transact(transaction);
          fenced += 1;
          throw new FencedError("somebody else was faster");
        },
      };
    },
  };
  startHandler(harassed);
  const answered: (Submitted & { aggregateId: string })[] = [];
  await Promise.all(
    Array.from({ length: 16 }, async (_, client) => {
      const id = `order-${client % 6}`;
      for (let count = 0; count < 40; count += 1) {
        const command = submission(id, count === 0 ? createOrder : changeQuantity(2 + client + count * 16));
        answered.push({ ...(await submit(gateway, command)), aggregateId: id });
      }
    }),
  );
  expect(fenced).toBeGreaterThan(10);
  expect(answered).toHaveLength(16 * 40);
  expect(await problemsIn(log, answered)).toEqual([]);
});

it("more commands than may wait are turned away before they are written", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log, { maxInFlight: 2 });
  const waiting = [1, 2].map((count) => submit(gateway, submission(`order-${count}`, createOrder)));
  await expect(submit(gateway, submission("order-3", createOrder))).rejects.toThrow(OverloadedError);
  startHandler(log);
  await Promise.all(waiting);
  expect((await submit(gateway, submission("order-3", createOrder))).outcome).toMatchObject({ version: 1 });
  expect(await eventCount(log)).toBe(3);
});

it("a caller who does not wait long enough learns that the command is accepted, and asks again", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const command = submission("order-1", createOrder);
  await expect(gateway.submit(command, { ...patient, signal: AbortSignal.timeout(50) })).rejects.toThrow(OutcomeUnknownError);
  await expect(gateway.submit(command, { ...patient, signal: AbortSignal.abort() })).rejects.toThrow(LogUnavailableError);
  startHandler(log);
  expect((await submit(gateway, command)).outcome).toMatchObject({ version: 1 });
  expect(await eventCount(log)).toBe(1);
});

it("a caller may wait for acceptance only", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const command = submission("order-1", createOrder);
  const accepted = await submit(gateway, command, CommandStage.ACCEPTED);
  expect(accepted).toMatchObject({ stage: CommandStage.ACCEPTED, partition: partitionOf("order-1", log.partitions), pendingViews: [] });
  expect(accepted.outcome).toBeUndefined();
  startHandler(log);
  expect((await submit(gateway, inquiry(command))).outcome).toMatchObject({ version: 1 });
});

it("a gateway that stops lets nobody wait", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const waiting = submit(gateway, submission("order-1", createOrder));
  const refusal = waiting.catch((error: unknown) => error);
  await expect.poll(async () => (await log.ends(orders.topics.commands.name)).some((end) => end > 0)).toBe(true);
  await gateway[Symbol.asyncDispose]();
  expect(await refusal).toBeInstanceOf(LogUnavailableError);
});

it("a notification that cannot be read is as good as lost", async () => {
  const { log, gateway } = await started();
  for (const { name } of [orders.topics.replies, orders.topics.progress]) {
    const garbage = Array.from({ length: log.partitions }, (_, partition) => ({
      topic: name,
      partition,
      key: "",
      value: Uint8Array.of(255, 255),
    }));
    await log.append(garbage);
  }
  expect((await submit(gateway, submission("order-1", createOrder))).outcome).toMatchObject({ version: 1 });
});

function commandOf(aggregateId: string, commandId: string = randomUUID()): Uint8Array {
  const { command } = submission(aggregateId, createOrder);
  const record = create(OrderCommandRecordSchema, { metadata: { aggregateId, commandId }, command: command as never });
  return toBinary(OrderCommandRecordSchema, record);
}

/** A log that loses the next replies. */
function losing(log: Log) {
  let left = 0;
  return {
    next: (count: number): void => {
      left = count;
    },
    left: () => left,
    log: {
      ...log,
      append(records) {
        const isReply = records.some(({ topic }) => topic === orders.topics.replies.name);
        if (!isReply || left === 0) return log.append(records);
        left -= 1;
        return Promise.resolve(records.map(() => -1));
      },
    } satisfies Log as Log,
  };
}
