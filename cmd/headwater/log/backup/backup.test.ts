import { createWriteStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import type { Submission } from "../../../../internal/cqrs/command/command-gateway.ts";
import { pageKey, pageOfKey } from "../../../../internal/cqrs/command/outcomes.ts";
import { POSITION_KEY } from "../../../../internal/cqrs/command/take-over.ts";
import type { Log } from "../../../../internal/cqrs/log.ts";
import { presentRecords } from "../../../../internal/cqrs/present-records.ts";
import { AggregateSnapshotSchema } from "../../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { temporaryFolder } from "../../../../test/support/dev-process.ts";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  placeOrder,
  startHandler,
  submission,
  submit,
} from "../../../../test/support/order-runtime.ts";
import { exportLog } from "./export-log.ts";
import { checkEmpty, importLog } from "./import-log.ts";
import { openBackup } from "./read.ts";
import { inFile, verifyBackup } from "./verify.ts";

const submitted = submission(orderIn(0), createOrder);

/** So many commands of one order that most of their outcomes lie in pages. */
const busy = [createOrder, ...Array.from({ length: 99 }, (_, index) => changeQuantity(3 + index))].map((command) =>
  submission(orderIn(3), command),
);

it("a log that was imported goes on where it was: orders, versions, sequences, and the first answers of old commands", async () => {
  const { log, file, receipts } = await exported();
  const { header } = await verifyBackup(file, () => undefined);
  const copy = await openOrderLog();
  await checkEmpty(copy);
  await importLog({ log: copy, logId: header.logId, lines: (await openBackup(file)).lines, onProgress: () => undefined });
  expect(await contentOf(copy)).toEqual(await contentOf(log));

  startHandler(copy);
  const gateway = await openGateway(copy);
  for (const { sent, outcome } of receipts) expect((await submit(gateway, sent)).outcome).toEqual(outcome);
  const next = await submit(gateway, submission(submitted.aggregateId, { case: "cancelOrder", value: { reason: "moved" } }));
  const [events] = await log.ends(orders.topics.events.name);
  expect(next.outcome).toMatchObject({ version: 3, sequence: BigInt((events ?? 0) + 1) });
  expect((await submit(gateway, submission(orderIn(3, "new"), createOrder))).outcome).toMatchObject({ version: 1 });
});

it("a copy can be exported, and is the same", async () => {
  const { file } = await exported();
  const copy = await openOrderLog();
  await importLog({ log: copy, logId: "x", lines: (await openBackup(file)).lines, onProgress: () => undefined });
  const again = await exportedTo(copy);
  const records = async (path: string) => (await readFile(path, "utf8")).split("\n").slice(1, -2).map(unplaced);
  const [first, second] = [await records(file), await records(again)];
  const withoutPositions = (lines: readonly unknown[]) => lines.filter((line) => !JSON.stringify(line).includes(POSITION_KEY));
  expect(withoutPositions(second)).toEqual(withoutPositions(first));
});

it("beside commands that are decided, what was answered before is exported, and it fits together", async () => {
  const log = await openOrderLog();
  startHandler(log);
  const gateway = await openGateway(log);
  let running = true;
  let number = 0;
  const receipts: { readonly sent: Submission; readonly outcome: unknown }[] = [];
  const callers = Array.from({ length: 8 }, async () => {
    while (running) {
      const created = submission(`order-${(number += 1)}`, createOrder);
      for (const sent of [created, submission(created.aggregateId, placeOrder)])
        receipts.push({ sent, outcome: (await submit(gateway, sent)).outcome });
    }
  });
  for (let wanted = 100; wanted <= 300; wanted += 100) {
    await expect.poll(() => receipts.length).toBeGreaterThan(wanted);
    const before = receipts.slice();
    const file = await exportedTo(log, { settled: false });
    const { header } = await verifyBackup(file, () => undefined);
    const copy = await openOrderLog();
    await importLog({ log: copy, logId: header.logId, lines: (await openBackup(file)).lines, onProgress: () => undefined });
    await using _handler = startHandler(copy);
    const restored = await openGateway(copy);
    const again = await Promise.all(before.map(({ sent }) => submit(restored, sent)));
    expect(again.map(({ outcome }) => outcome)).toEqual(before.map(({ outcome }) => outcome));
  }
  running = false;
  await Promise.all(callers);
});

it("a log with a command that nobody decides is not exported as one that is settled", async () => {
  const { log } = await exported();
  await log.append([{ topic: orders.topics.commands.name, partition: 0, key: "a", value: new Uint8Array() }]);
  await expect(exportedTo(log)).rejects.toThrow("1 commands are not decided, and no command handler runs");
});

it("an import into a log that holds something, or that somebody works on, is refused", async () => {
  const { log } = await exported();
  await expect(checkEmpty(log)).rejects.toThrow("the log is not empty, there is something in orders.commands.v1");
  const used = await openOrderLog();
  startHandler(used, "busy");
  await expect.poll(() => used.members(orders.groups.handler)).toHaveLength(1);
  await expect(checkEmpty(used)).rejects.toThrow("the command handler busy runs on the log");
});

it("no handler starts on a part of an import", async () => {
  const { file } = await exported();
  const log = await openOrderLog();
  const { lines } = await openBackup(file);
  const interrupted = importLog({
    log,
    logId: "x",
    lines,
    onProgress(done) {
      if (done === 5) throw new Error("interrupted");
    },
  });
  await expect(interrupted).rejects.toThrow("interrupted");
  await expect(startHandler(log).stopped).rejects.toThrow("has a part of an import");
  await expect(checkEmpty(log)).rejects.toThrow("not empty");
});

it.each<readonly [fault: string, damage: (lines: readonly string[]) => readonly string[], message: string]>([
  ["is empty", () => [], "it is empty"],
  ["is something else", () => ["a,b,c", ""], "no JSON object"],
  ["is of another format", () => ['{"format":"other"}', ""], "it is no headwater-log file"],
  ["is of a later version", ([first = "", ...rest]) => [first.replace('"version":1', '"version":2'), ...rest], "version 2 of the format"],
  ["lacks its last line", (lines) => [...lines.slice(0, -2), ""], "it ends before its last line"],
  ["is cut off in its last line", (lines) => lines.slice(0, -1), "it ends before its last line"],
  ["lacks a line", (lines) => lines.toSpliced(-3, 1), "it was changed since it was written"],
  ["has another line at its end", (lines) => [...lines.slice(0, -1), "{}", ""], "it goes on behind its last line"],
  ["has an event twice", (lines) => lines.toSpliced(2, 0, lines[1] ?? ""), "from event 1 to 1"],
  ["lacks an event", (lines) => lines.toSpliced(1, 1), "goes from event 0 to 2"],
  ["has an event of another order", (lines) => changed(lines, 1, { key: orderIn(1, "other") }), "is in partition"],
  ["has outcomes of another order", (lines) => lines.map((line) => line.replace(/(_outcomes.)order/, "$1other")), "are those of order-"],
  ["has a value that is no base64", (lines) => changed(lines, 1, { value: "%" }), "is not base64"],
  ["has a record in a partition that is not there", (lines) => changed(lines, 1, { partition: 99 }), "no record"],
])("a file that %s is refused, with the reason, before anything is written", async (_, damage, message) => {
  const { file } = await exported();
  await writeFile(file, damage((await readFile(file, "utf8")).split("\n")).join("\n"));
  const error = await verifyBackup(file, () => undefined).catch((found: unknown) => inFile(file, found));
  expect(error).toMatchObject({ name: "BackupError", message: expect.stringContaining(message) });
});

it("state that does not fit the events is refused, whatever the checksum says", async () => {
  const log = await openOrderLog();
  const { log: source } = await exported();
  const [events, state] = [orders.topics.events.name, orders.topics.state.name];
  const [all = []] = await Array.fromAsync(presentRecords(source, { topic: events, partition: 0 }));
  await log.append(all.slice(0, -1).map(({ key, value }) => ({ topic: events, partition: 0, key, value })));
  const [values = []] = await Array.fromAsync(source.latest(state, 0));
  await log.append(values.map(({ key, value }) => ({ topic: state, partition: 0, key, value })));
  await expect(exportedTo(log, { waitMs: 0 })).rejects.toThrow("partition 0 lacks events that its state covers");
});

it("outcomes that are missing are noticed", async () => {
  const { log } = await exported();
  const topic = orders.topics.state.name;
  await log.append([{ topic, partition: 3, key: pageKey(orderIn(3), 1), value: null }]);
  await expect(exportedTo(log)).rejects.toThrow(`the outcomes of an order do not fit its state: _outcomes/${orderIn(3)}/1`);
});

it("events that no state covers are not left out in silence", async () => {
  const log = await openOrderLog();
  const { log: source } = await exported();
  const { name: topic } = orders.topics.events;
  const [all = []] = await Array.fromAsync(presentRecords(source, { topic, partition: 0 }));
  await log.append(all.map(({ key, value }) => ({ topic, partition: 0, key, value })));
  await expect(exportedTo(log, { settled: false })).rejects.toThrow("and its state covers 0");
});

/** A log with orders, one of them busy, a refusal and a dead letter, and its file. */
async function exported() {
  const log = await openOrderLog();
  const handler = startHandler(log);
  const gateway = await openGateway(log);
  const sent = [
    submitted,
    submission(submitted.aggregateId, placeOrder),
    submission(orderIn(1), placeOrder),
    submission(orderIn(0, "second"), createOrder),
    submission(orderIn(2), createOrder),
  ];
  const receipts = [];
  for (const each of sent) receipts.push({ sent: each, outcome: (await submit(gateway, each)).outcome });
  receipts.push(...(await Promise.all(busy.map(async (each) => ({ sent: each, outcome: (await submit(gateway, each)).outcome })))));
  await log.append([{ topic: orders.topics.commands.name, partition: 0, key: "garbage", value: Uint8Array.of(255) }]);
  await expect.poll(async () => (await log.ends(orders.topics.deadLetters.name))[0]).toBe(1);
  await handler[Symbol.asyncDispose]();
  return { log, receipts, file: await exportedTo(log) };
}

async function exportedTo(log: Log, { settled = true, waitMs = 5_000 } = {}): Promise<string> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const file = join(folder.path, "log.jsonl");
  const output = createWriteStream(file);
  // What was not written yet when it is destroyed is nobody's loss.
  output.on("error", () => undefined);
  onTestFinished(() => void output.destroy());
  const patience = { deadlineMs: Date.now() + waitMs, onWait: () => undefined };
  await exportLog({ log, output, settled, patience, onProgress: () => undefined });
  await finished(output.end());
  return file;
}

/** What must be the same in a copy: positions are not, since the commands of the copy begin anew. */
async function contentOf(log: Log): Promise<readonly string[]> {
  const found: string[] = [];
  for (let partition = 0; partition < log.partitions; partition += 1) {
    for (const topic of [orders.topics.events.name, orders.topics.deadLetters.name]) {
      for await (const batch of presentRecords(log, { topic, partition })) {
        for (const { offset, key, value, headers } of batch)
          found.push(JSON.stringify([topic, partition, offset, key, base64(value), headers]));
      }
    }
    for await (const values of log.latest(orders.topics.state.name, partition)) {
      for (const { key, value } of values) {
        if (key === POSITION_KEY || value === null) continue;
        if (pageOfKey(key) !== undefined) {
          found.push(JSON.stringify([partition, key, base64(value)]));
          continue;
        }
        const { stream, rest } = snapshotIn(value);
        expect(stream).toBe(log.topicId(orders.topics.events.name));
        found.push(JSON.stringify([partition, key, rest]));
      }
    }
  }
  return found;
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString("base64");
}

function changed(lines: readonly string[], index: number, change: object): readonly string[] {
  return lines.with(index, JSON.stringify({ ...(JSON.parse(lines[index] ?? "{}") as object), ...change }));
}

/** A line of a file without what its log gave it: a time, and the stream that the state counts. */
function unplaced(line: string): unknown {
  const { appendedAt: _, decoded, ...record } = JSON.parse(line) as { topic: string; key: string; value: string; [name: string]: unknown };
  if (record.topic !== orders.topics.state.name || record.key.startsWith("_")) return { ...record, decoded };
  return { ...record, value: snapshotIn(Buffer.from(record.value, "base64")).rest };
}

function snapshotIn(value: Uint8Array): { readonly stream: string; readonly rest: string } {
  const { stream, ...snapshot } = fromBinary(AggregateSnapshotSchema, value);
  return { stream, rest: base64(toBinary(AggregateSnapshotSchema, { ...snapshot, stream: "" })) };
}
