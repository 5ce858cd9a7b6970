/** What becomes of slices that the log does not take. */

import { randomUUID } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { checkHistory, readHistory } from "../../../test/support/history-checker.ts";
import {
  changeQuantity,
  createOrder,
  type OrderCommandInit,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  problemsIn,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { DeadLetterSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import type { Clock } from "../clock.ts";
import { FencedError, type Log, LogRefusedError, type Owner, RecordsTooLargeError } from "../log.ts";
import { recordBytes } from "../record-bytes.ts";

const LONG_DESCRIPTION = "x".repeat(256);

it("what is too large together is written in smaller slices, and each command is decided once", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const ids = Array.from({ length: 300 }, (_, index) => `order-${index}`);
  const answers = ids.map((id) => submit(gateway, submission(id, createOrder)));
  await untilAppended(log, ids.length);
  const slices: number[] = [];
  startHandler(refusing(log, { maxBytes: 20_000, told: slices }));
  const decided = await Promise.all(answers);
  expect(decided.map(({ outcome }) => outcome?.version)).toEqual(ids.map(() => 1));
  expect(
    await problemsIn(
      log,
      decided.map((answer, index) => ({ ...answer, aggregateId: ids[index] ?? "" })),
    ),
  ).toEqual([]);
  // Halved until they fit, and after that tried a little larger again and again.
  expect(slices.length).toBeLessThan(60);
});

it("a command that is too large by itself becomes a dead letter with an answer, and all others are decided", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const large = submission(orderIn(1, "large"), withLines(100));
  const ids = Array.from({ length: 200 }, (_, index) => `order-${index}`);
  const before = ids.slice(0, 100).map((id) => submit(gateway, submission(id, createOrder)));
  const refused = submit(gateway, large);
  const behind = submit(gateway, submission(large.aggregateId, createOrder));
  const after = ids.slice(100).map((id) => submit(gateway, submission(id, createOrder)));
  await untilAppended(log, ids.length + 2);
  startHandler(refusing(log, { maxBytes: 30_000 }));
  const decided = await Promise.all([...before, ...after]);
  expect(decided.every(({ outcome }) => outcome?.version === 1)).toBe(true);
  expect((await refused).outcome?.rejection?.reason).toBe("COMMAND_TOO_LARGE");
  // The order is as if it had not been asked.
  expect((await behind).outcome).toMatchObject({ version: 1 });
  const [letter, ...none] = await deadLetters(log);
  expect(none).toEqual([]);
  expect(letter).toMatchObject({ key: large.aggregateId, error: "what the command would write is larger than the log takes" });
  const history = (await readHistory(log, orders.domain)).map((partition) => ({
    ...partition,
    deadLetters: [],
    commands: partition.commands.filter(({ offset }) => partition.partition !== letter?.partition || BigInt(offset) !== letter.offset),
  }));
  expect(checkHistory(orders.domain, history, [])).toEqual([]);
});

it("a handler that cannot even write that a command is too large ends with the reason", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const failing = startHandler(refusing(log, { maxBytes: 10 }));
  const answer = submit(gateway, submission("order-1", createOrder));
  await expect(failing.stopped).rejects.toThrow("too many bytes");
  startHandler(log);
  expect((await answer).outcome).toMatchObject({ version: 1 });
});

it("a record that no dead letter takes leaves its place, and all others are decided", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const { commands } = orders.topics;
  await log.append([{ topic: commands.name, partition: 0, key: "garbage", value: new Uint8Array(2 * 1024 * 1024 - 10) }]);
  startHandler(log);
  expect((await submit(gateway, submission(orderIn(0), createOrder))).outcome).toMatchObject({ version: 1 });
  const [letter, ...none] = await deadLetters(log);
  expect([letter?.key, letter?.value.length, none]).toEqual(["garbage", 0, []]);
  expect(letter?.error).toContain("2097142 bytes do not fit here");
});

it("a handler that the log refuses for good ends with the reason", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const failing = startHandler(transacting(log, () => Promise.reject(new LogRefusedError("it needs Write on the topic orders.events.v1"))));
  const answer = submit(gateway, submission("order-1", createOrder));
  await expect(failing.stopped).rejects.toThrow("it needs Write on the topic orders.events.v1");
  startHandler(log);
  expect((await answer).outcome).toMatchObject({ version: 1 });
});

it("a handler that is fenced again and again waits longer each time, and does not say that it gets on", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const waits: number[] = [];
  const told: string[] = [];
  const clock: Clock = {
    now: () => 0,
    after(delayMs, callback) {
      waits.push(delayMs);
      setImmediate(callback);
      return () => undefined;
    },
  };
  const fences = 12;
  const fenced = transacting(log, (owner, transaction) =>
    waits.length < fences ? Promise.reject(new FencedError("not now")) : owner.transact(transaction),
  );
  startHandler(fenced, "handler", orders.domain, {
    clock,
    onProgress: () => told.push("progress"),
    onFailed: () => told.push("failed"),
  });
  const { outcome } = await submit(gateway, submission("order-1", createOrder));
  expect(outcome).toMatchObject({ version: 1 });
  const longest = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000];
  expect(waits).toHaveLength(fences);
  waits.forEach((wait, index) => expect(wait / (longest[index] ?? 0)).toBeGreaterThanOrEqual(0.5));
  waits.forEach((wait, index) => expect(wait).toBeLessThanOrEqual(longest[index] ?? 0));
  const failures = told.slice(told.indexOf("failed"), told.lastIndexOf("failed") + 1);
  expect(new Set(failures)).toEqual(new Set(["failed"]));
  await submit(gateway, submission("order-1", changeQuantity(5)));
  await expect.poll(() => told.at(-1)).toBe("progress");
});

it("a handler that was fenced and has nothing to decide any more says that it gets on", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  let transactions = 0;
  const told: string[] = [];
  const once = transacting(log, (owner, transaction) => {
    transactions += 1;
    return transactions === 1
      ? owner.transact(transaction).then(() => Promise.reject(new FencedError("written all the same")))
      : owner.transact(transaction);
  });
  startHandler(once, "handler", orders.domain, { onProgress: () => told.push("progress"), onFailed: () => told.push("failed") });
  submit(gateway, submission("order-1", createOrder)).catch(() => undefined);
  await expect.poll(() => told.includes("failed") && told.at(-1) === "progress", { timeout: 30_000 }).toBe(true);
});

/** The log as it is where no transaction takes more than so many bytes. */
function refusing(log: Log, { maxBytes, told = [] }: { readonly maxBytes: number; readonly told?: number[] }): Log {
  return transacting(log, async (owner, transaction) => {
    told.push(transaction.records.length);
    const { topics } = orders;
    const bytes = transaction.records
      .filter(({ topic }) => topic !== topics.deadLetters.name)
      .reduce((sum, record) => sum + recordBytes(record), 0);
    if (bytes > maxBytes) throw new RecordsTooLargeError("too many bytes");
    await owner.transact(transaction);
  });
}

type Transact = (owner: Owner, transaction: Parameters<Owner["transact"]>[0]) => Promise<void>;

function transacting(log: Log, transact: Transact): Log {
  return {
    ...log,
    async own(options) {
      const owner = await log.own(options);
      return { ...owner, transact: (transaction) => transact(owner, transaction) };
    },
  };
}

async function untilAppended(log: Log, commands: number): Promise<void> {
  const appended = async () => (await log.ends(orders.topics.commands.name)).reduce((sum, end) => sum + end, 0);
  await expect.poll(appended, { timeout: 30_000 }).toBe(commands);
}

async function deadLetters(log: Log) {
  const history = await readHistory(log, orders.domain);
  return history.flatMap((partition) => partition.deadLetters).map((record) => fromBinary(DeadLetterSchema, record.value));
}

function withLines(count: number): OrderCommandInit {
  const lines = Array.from({ length: count }, () => ({
    lineId: randomUUID(),
    sku: "tea",
    description: LONG_DESCRIPTION,
    quantity: 1,
    unitPrice: { currencyCode: "EUR", minorUnits: 1n },
  }));
  return { case: "createOrder", value: { customerId: "ada", currencyCode: "EUR", lines } };
}
