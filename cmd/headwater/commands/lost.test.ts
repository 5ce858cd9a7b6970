import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { RecordsGoneError } from "../../../internal/cqrs/log.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { type EmbeddedLog, openEmbeddedLog } from "../../../internal/log/embedded/open.ts";
import { LogStore } from "../../../internal/log/embedded/store.ts";
import { orderTopics } from "../../../test/support/order-domain.ts";
import {
  createOrder,
  openGateway,
  orderIn,
  orders,
  partitions,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { findLost, skip } from "./lost.ts";

const topics = Object.values(orderTopics);
const HERE = 1;

it("commands that are gone are shown, and after they were given up the handlers go on behind them", async () => {
  const directory = await mkdtemp(join(tmpdir(), "headwater-lost-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const name = (count: number): string => orderIn(HERE, `order-${count}`);
  await withLog(directory, async (log) => {
    const handler = startHandler(log);
    const gateway = await openGateway(log);
    await submit(gateway, submission(name(1), createOrder));
    await handler[Symbol.asyncDispose]();
    for (const count of [2, 3, 4]) await submit(gateway, submission(name(count), createOrder), CommandStage.ACCEPTED);
    expect(await findLost(log)).toEqual([]);
  });
  // As a broker does, which knows nothing of what is decided.
  const store = new LogStore({ directory, topics });
  store.commitOffset(randomUUID(), orders.topics.commands.name, HERE, 3);
  store.commitOffset("orders.command-handler.v1", orders.topics.commands.name, HERE, 3);
  expect(store.trim(orders.topics.commands.name, HERE, Number.MAX_SAFE_INTEGER, 100)).toBe(3);
  store.close();
  await withLog(directory, async (log) => {
    await expect(startHandler(log).stopped).rejects.toThrow(RecordsGoneError);
    expect(await findLost(log)).toEqual([{ partition: HERE, next: 1, goesOnAt: 3 }]);
    await skip(log, await findLost(log));
    expect(await findLost(log)).toEqual([]);
    startHandler(log);
    const gateway = await openGateway(log);
    expect((await submit(gateway, submission(name(2), createOrder))).outcome).toMatchObject({ version: 1 });
    expect((await submit(gateway, submission(name(4), createOrder))).outcome?.rejection?.reason).toBe("ORDER_ALREADY_EXISTS");
  });
});

async function withLog(directory: string, use: (log: EmbeddedLog) => Promise<void>): Promise<void> {
  const log = await openEmbeddedLog({ directory, partitions, topics });
  onTestFinished(() => log[Symbol.asyncDispose]());
  await use(log);
  await log[Symbol.asyncDispose]();
}
