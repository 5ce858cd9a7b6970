import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import type { CommandGateway } from "../../../internal/cqrs/command/command-gateway.ts";
import { runCommandHandler } from "../../../internal/cqrs/command/command-handler.ts";
import type { DeployedDomain } from "../../../internal/cqrs/domain.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import { OrderCommandRecordSchema } from "../../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import type { OrderCommand } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { startBackground } from "../../../internal/platform/background.ts";
import { systemClock } from "../../../internal/platform/clock.ts";
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
import { type Letter, loadLetters } from "./letters.ts";
import { sendAgain } from "./send-again.ts";

/** Code that cannot place orders. */
const broken: DeployedDomain = {
  ...orders.domain,
  aggregate: {
    ...orders.domain.aggregate,
    decide(state, command, context) {
      if ((command as OrderCommand).command.case === "placeOrder") throw new TypeError("not today");
      return orders.domain.aggregate.decide(state, command, context);
    },
  },
};

it("a command that could not be decided is decided once by code that can, under an id of its own", async () => {
  const { log, gateway } = await opened();
  const handler = startBackground((signal) =>
    runCommandHandler({ log, domain: broken, clock: systemClock, group: orders.groups.handler, instance: "broken", signal }),
  );
  await submit(gateway, submission("order-1", createOrder));
  const place = submission("order-1", placeOrder);
  expect((await submit(gateway, place)).outcome?.rejection?.reason).toBe("COMMAND_NOT_DECODABLE");
  const first = await onlyLetter(log);
  // Still broken: another letter, of the attempt.
  expect(await again(log, gateway, first)).toMatchObject({
    commandId: `${place.commandId}/retry-1`,
    outcome: { rejection: { reason: "COMMAND_NOT_DECODABLE" } },
  });
  expect(await loadLetters(log, partitions)).toHaveLength(2);
  await handler[Symbol.asyncDispose]();

  startHandler(log);
  const [, second = first] = await loadLetters(log, partitions);
  const sent = await again(log, gateway, second);
  expect(sent).toMatchObject({ commandId: `${place.commandId}/retry-2`, outcome: { version: 2 } });
  expect(sent.outcome?.rejection).toBeUndefined();
  for (const letter of [first, second]) expect(await again(log, gateway, letter)).toEqual(sent);
  expect(await loadLetters(log, partitions)).toHaveLength(2);
});

it("a command in a wrong partition goes to its own, under its own id", async () => {
  const { log, gateway } = await opened();
  startHandler(log);
  const orderId = orderIn(1);
  const { commandId, fingerprint } = submission(orderId, createOrder);
  const record = create(OrderCommandRecordSchema, {
    metadata: { commandId, aggregateId: orderId, fingerprint },
    command: { command: createOrder },
  });
  const value = toBinary(OrderCommandRecordSchema, record);
  await log.append([{ topic: orders.topics.commands.name, partition: 0, key: orderId, value }]);
  await expect.poll(() => loadLetters(log, partitions)).toHaveLength(1);
  expect(await again(log, gateway, await onlyLetter(log))).toMatchObject({ commandId, outcome: { version: 1 } });
});

it("bytes that are no command are not sent", async () => {
  const { log, gateway } = await opened();
  startHandler(log);
  await log.append([{ topic: orders.topics.commands.name, partition: 0, key: "a", value: Uint8Array.of(255) }]);
  await expect.poll(() => loadLetters(log, partitions)).toHaveLength(1);
  const before = await log.ends(orders.topics.commands.name);
  await expect(again(log, gateway, await onlyLetter(log))).rejects.toThrow(/cannot be sent again: .*; run a version of this program/);
  expect(await log.ends(orders.topics.commands.name)).toEqual(before);
});

it("without a handler it is sent, and its outcome is not known", async () => {
  const { log, gateway } = await opened();
  const handler = startHandler(log);
  await submit(gateway, { ...submission("order-1", createOrder), command: new Uint8Array() });
  await handler[Symbol.asyncDispose]();
  const sent = await sendAgain(log, gateway, await onlyLetter(log), AbortSignal.timeout(100));
  expect(sent.commandId).toMatch(/\/retry-1$/);
  expect(sent.outcome).toBeUndefined();
});

async function opened() {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { log, gateway };
}

async function onlyLetter(log: Log): Promise<Letter> {
  const [letter, ...others] = await loadLetters(log, partitions);
  if (letter === undefined || others.length > 0) throw new Error(`there are ${others.length} more letters than one`);
  return letter;
}

function again(log: Log, gateway: CommandGateway, letter: Letter) {
  return sendAgain(log, gateway, letter, AbortSignal.timeout(30_000));
}
