/** What an operator does beside a `headwater dev` that runs. */

import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLog } from "../../../cmd/headwater/system/open.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandRecordSchema } from "../../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { parseConfig } from "../../../internal/platform/config.ts";
import { allOptions, systemOptions } from "../../../internal/process/options.ts";
import { type DevProcess, startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { createGrpcClient, type GrpcClient } from "../../support/grpc-client.ts";
import { operate, operateJson } from "../../support/operator.ts";
import { orderTopics } from "../../support/order-domain.ts";
import { newOrder } from "../../support/orders.ts";

const { createOrder, placeOrder, shipOrder } = OrderCommandService.method;

describe("beside a running system", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let dev: DevProcess;
  let commands: GrpcClient;
  let data: readonly string[];
  const commandId = randomUUID();

  beforeAll(async () => {
    folder = await temporaryFolder();
    dev = await startDevProcess({ directory: folder.path });
    data = ["--data", folder.path];
    commands = createGrpcClient(dev.commandAddress);
    await commands.call(createOrder, { ...newOrder("first"), options: { commandId, causationId: "a letter" } });
    await commands.call(shipOrder, { orderId: "first" }).catch(() => undefined);
    await commands.call(createOrder, newOrder("second"));
    await commands.call(placeOrder, { orderId: "first", options: { waitFor: CommandStage.PROJECTED } });
  });
  afterAll(async () => {
    commands[Symbol.dispose]();
    await dev[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it("status tells who works, and that nothing waits", async () => {
    const status = await operateJson<{ readonly partitions: readonly object[] }>(["status", "--sample", "0", ...data]);
    expect(status).toMatchObject({ system: "embedded", deadLetters: { open: 0, closed: 0 } });
    expect(status.partitions).toHaveLength(8);
    for (const partition of status.partitions) {
      expect(partition).toMatchObject({ commandsWaiting: 0, handler: "dev", lagEvents: 0, projector: "dev" });
    }
    const { stdout } = await operate(["status", ...data]);
    expect(stdout).toMatch(/\d commands\/s, \d events\/s over 1 s/);
    expect(stdout).toMatch(/orders +live +orders\.v\d+ +0 +0/);
  });

  it("topics tells what each holds", async () => {
    const { topics } = await operateJson<{ readonly topics: readonly Topic[] }>(["topics", ...data]);
    const records = topics.map(({ name, keys, partitions }) => [name, keys ?? partitions.reduce((sum, { end }) => sum + end, 0)] as const);
    expect(Object.fromEntries(records)).toMatchObject({ "orders.commands.v1": 4, "orders.events.v1": 3, "orders.dead-letters.v1": 0 });
  });

  it("an order is shown with its state, its outcomes and its history", async () => {
    expect(await operateJson(["orders", "show", "first", ...data])).toMatchObject({
      orderId: "first",
      version: 2,
      state: { status: "ORDER_STATUS_PLACED", customerId: "ada" },
      outcomes: [{ commandId, version: 1 }, { version: 1, reason: expect.stringMatching(/^[A-Z_]+$/) }, { version: 2 }],
      history: [
        { version: 1, type: "orderCreated", commandId, causationId: "a letter", commandOffset: 0 },
        { version: 2, type: "orderPlaced", actor: "anonymous" },
      ],
    });
    const { stdout } = await operate(["orders", "show", "first", ...data]);
    expect(stdout).toMatch(/order first, version 2/);
    const missing = await operate(["orders", "show", "nobody's", ...data]);
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('the log has no order "nobody\'s"') });
  });

  it("the log is shown record by record", async () => {
    const { stdout } = await operate(["log", "tail", "--key", "first", "--json", ...data]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { key: "first", type: "orderCreated", offset: 0, headers: { ce_type: "headwater.orders.v1.OrderCreated" } },
      { key: "first", type: "orderPlaced", value: { orderPlaced: { total: { minorUnits: "2150" } } } },
    ]);
    const from = await operate(["log", "tail", "--key", "first", "--from", "1", "--limit", "1", "--topic", "commands", ...data]);
    expect(from.stdout).toMatch(/^\d\/1 {2}\S+ {2}first {2}shipOrder {2}\{.*\}\n$/);
    expect((await operate(["log", "tail", "--from", "end", ...data])).stdout).toBe("");
    const last = await operate(["log", "tail", "--key", "first", "--limit", "1", ...data]);
    expect(last.stdout).toMatch(/^\d\/\d+ {2}\S+ {2}first {2}orderPlaced {2}\{.*\}\n$/);
  });

  it("the log is followed until Ctrl+C", async () => {
    let orders = 0;
    const order = () => commands.call(createOrder, newOrder(`followed-${++orders}`));
    // The first ones may come before it listens.
    const sending = setInterval(() => void order(), 100);
    const { code, stdout } = await operate(["log", "tail", "--follow", ...data], { onOutput: (_, interrupt) => interrupt() });
    clearInterval(sending);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/followed-\d+ {2}orderCreated/) });
  });

  it("a dead letter is listed, shown, retried or skipped once, and who did it is kept", async () => {
    await appendCommands(folder.path, [
      { key: "garbage", value: Uint8Array.of(255, 255) },
      { key: "misplaced", value: commandOf("misplaced") },
    ]);
    const list = (...options: readonly string[]) => operateJson<readonly Letter[]>(["dead-letters", "list", ...options, ...data]);
    await expect.poll(() => list()).toHaveLength(2);
    const open = await list();
    const [garbage = "", misplaced = ""] = ["garbage", "misplaced"].map((key) => open.find((letter) => letter.key === key)?.id);
    expect(await operateJson(["dead-letters", "show", garbage, ...data])).toMatchObject({ key: "garbage", base64: "//8=", state: "open" });

    const [unasked, unreadable] = await Promise.all([
      operate(["dead-letters", "retry", misplaced, ...data]),
      operate(["dead-letters", "retry", misplaced, garbage, "--yes", ...data]),
    ]);
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
    expect(unreadable).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot be sent again") });
    const retried = await operate(["dead-letters", "retry", misplaced, "--yes", "--actor", "ada", "--reason", "moved", ...data]);
    expect(retried).toMatchObject({ code: 0, stdout: expect.stringContaining("accepted, the order is at version 1") });
    const skipped = await operate(["dead-letters", "skip", garbage, "--yes", "--reason", "a joke", "--actor", "bob", ...data]);
    expect(skipped).toMatchObject({ code: 0, stdout: `${garbage} is skipped\n` });

    const closed = await list("--all");
    expect(closed.find(({ id }) => id === misplaced)).toMatchObject({ state: "retried", resolution: { actor: "ada", reason: "moved" } });
    expect(closed.find(({ id }) => id === garbage)).toMatchObject({ state: "skipped", resolution: { actor: "bob", reason: "a joke" } });
    expect(await operateJson(["status", "--sample", "0", ...data])).toMatchObject({ deadLetters: { open: 0, closed: 2 } });
  });

  it("the log is exported beside the running system, and imported into another folder only", async () => {
    const file = join(folder.path, "log.jsonl");
    expect(await operate(["log", "export", file, ...data])).toMatchObject({ code: 0, stdout: "" });
    const again = await operate(["log", "export", file, ...data]);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/is there already\. Replace it\? .*--yes/) });
    const same = await operate(["log", "import", file, "--yes", ...data]);
    expect(same).toMatchObject({ code: 1, stderr: expect.stringContaining("the command handler dev runs on the log") });
    const other = ["--data", join(folder.path, "other")];
    expect(await operate(["log", "import", file, ...other])).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
    expect(await operate(["log", "import", file, "--yes", ...other])).toMatchObject({ code: 0 });
    expect(await operateJson(["orders", "show", "first", ...other])).toMatchObject({ version: 2, outcomes: [{ commandId }, {}, {}] });
  });

  it("what is called wrongly is refused with what to do, and ends it with 2", async () => {
    const calls: readonly (readonly [readonly string[], string])[] = [
      [["status", "--data", "no-such-folder"], "there is no log in no-such-folder: --data (HEADWATER_DATA)"],
      [["status", "extra", ...data], '"extra" is too much'],
      [["orders", "show", ...data], "name one order"],
      [["log", "tail", "--from", "3", ...data], "needs a --partition or a --key"],
      [["log", "tail", "--partition", "9", ...data], "--partition must be less than 8"],
      [["dead-letters", "skip", "1f", ...data], "--reason is needed"],
    ];
    await Promise.all(
      calls.map(async ([args, message]) => {
        const { code, stderr } = await operate(args);
        expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
        expect(stderr).toContain(`headwater ${args[0]}`);
      }),
    );
  });
});

interface Letter {
  readonly id: string;
  readonly key: string;
}

/** Into a partition that none of the keys belongs to. */
async function appendCommands(directory: string, records: readonly { readonly key: string; readonly value: Uint8Array }[]) {
  const values = parseConfig(systemOptions, { args: ["--data", directory], environment: {}, shared: allOptions });
  await using log = await openLog(values);
  const taken = new Set(records.map(({ key }) => partitionOf(key, log.partitions)));
  const partition = [0, 1, 2].find((candidate) => !taken.has(candidate)) ?? 3;
  await log.append(records.map((record) => ({ topic: orderTopics.commands.name, partition, ...record })));
}

function commandOf(orderId: string): Uint8Array {
  const metadata = { commandId: randomUUID(), aggregateId: orderId };
  const command = { command: { case: "createOrder" as const, value: newOrder(orderId) } };
  return toBinary(OrderCommandRecordSchema, create(OrderCommandRecordSchema, { metadata, command }));
}

interface Topic {
  readonly name: string;
  readonly keys?: number;
  readonly partitions: readonly { readonly end: number }[];
}
