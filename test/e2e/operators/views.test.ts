/** What an operator does about views beside a `headwater dev` that runs. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { openLog } from "../../../cmd/headwater/system/open.ts";
import type { ViewGenerations } from "../../../internal/cqrs/projector/generations.ts";
import type { ParkedKey } from "../../../internal/cqrs/projector/parking.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { parseConfig } from "../../../internal/platform/config.ts";
import { allOptions, systemOptions } from "../../../internal/process/options.ts";
import { type DevProcess, startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { createGrpcClient } from "../../support/grpc-client.ts";
import { operate, operateJson } from "../../support/operator.ts";
import { orderTopics } from "../../support/order-domain.ts";
import { newOrder } from "../../support/orders.ts";

/** A build of so many at a slow pace outlasts a few commands of an operator, also on a busy machine. */
const ORDERS = 200;

let dev: DevProcess;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let data: readonly string[];

beforeAll(async () => {
  folder = await temporaryFolder();
  dev = await startDevProcess({ directory: folder.path });
  data = ["--data", folder.path];
  using commands = createGrpcClient(dev.commandAddress);
  for (let count = 0; count < ORDERS; count += 1) {
    const options = { waitFor: CommandStage.PROJECTED };
    await commands.call(OrderCommandService.method.createOrder, { ...newOrder(`order-${count}`), options });
  }
});
afterAll(async () => {
  await dev[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

it("a view is rebuilt, read, rolled back, and its former generation given up", async () => {
  const rebuilt = await operate(["views", "rebuild", "orders", "--yes", "--pace", "100", ...data]);
  expect(rebuilt).toMatchObject({ code: 0, stdout: "orders is read from orders.v2.b1 now\n" });
  const { stdout } = await operate(["views", "list", ...data]);
  expect(stdout).toMatch(/orders +orders\.v2\.b1 +live\n +orders\.v2 +previous\n/);
  using queries = createGrpcClient(dev.queryAddress);
  const { order } = await queries.call(OrderQueryService.method.getOrder, { orderId: "order-7" });
  expect(order).toMatchObject({ orderId: "order-7", version: 1 });
  expect(await operate(["views", "rollback", "orders", "--yes", ...data])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("orders.v2 is read"),
  });
  expect(await operate(["views", "drop", "orders", ...data])).toMatchObject({ code: 2, stderr: expect.stringContaining("--yes") });
  const dropped = await operateJson<ViewGenerations>(["views", "drop", "orders", "--yes", ...data]);
  expect(dropped).toMatchObject({ live: { collection: "orders.v2" } });
  expect(dropped).not.toHaveProperty("previous");
});

it("a rebuild is held, resumed at another pace and given up", async () => {
  await operateJson(["views", "rebuild", "daily-sales", "--yes", "--no-wait", "--pace", "1", ...data]);
  expect(await operate(["views", "stop", "daily-sales", ...data])).toMatchObject({ code: 0 });
  expect(await operateJson(["views", "resume", "daily-sales", "--pace", "2", ...data])).toMatchObject({ building: { pace: 2 } });
  expect(await operate(["views", "cancel", "daily-sales", "--yes", ...data])).toMatchObject({ code: 0 });
  const again = await operate(["views", "cancel", "daily-sales", "--yes", ...data]);
  expect(again).toMatchObject({ code: 1, stderr: "headwater views cancel: daily-sales is not being built\n" });
});

it("documents are compared with their events, all of them or a sample", async () => {
  const all = await operateJson<readonly Verified[]>(["views", "verify", "--all", ...data]);
  expect(all.find(({ view }) => view === "orders")).toMatchObject({ documents: ORDERS, mismatches: [] });
  expect(all.every(({ mismatches }) => mismatches.length === 0)).toBe(true);
  const { code, stdout } = await operate(["views", "verify", "orders", ...data]);
  expect({ code, stdout }).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`orders +orders\\.v2 +${ORDERS} +1 +0`, "u")),
  });
});

it("a record that is no event is parked, shown, retried in vain, and skipped with a reason", async () => {
  await using log = await openLog(parseConfig(systemOptions, { args: [...data], environment: {}, shared: allOptions }));
  await log.append([{ topic: orderTopics.events.name, partition: 3, key: "stranger", value: new TextEncoder().encode("no event") }]);
  const list = () => operateJson<readonly ParkedKey[]>(["parked", "list", ...data]);
  await expect.poll(async () => (await list()).length, { timeout: 30_000 }).toBeGreaterThan(6);
  const [entry] = (await list()).filter(({ view }) => view === "orders");
  const key = entry?.key ?? "";
  const { stdout: shown } = await operate(["parked", "show", "orders", key, ...data]);
  expect(shown).toContain(`headwater log tail --partition 3 --from ${key} --limit 1`);
  expect(await operate(["parked", "retry", "orders", key, ...data])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining("no event"),
  });
  const skipped = await operateJson<readonly ParkedKey[]>(["parked", "skip", "orders", key, "--reason", "a stranger's", "--yes", ...data]);
  expect(skipped).toMatchObject([{ state: "skipped", answers: [{ action: "retry" }, { action: "skip", reason: "a stranger's" }] }]);
  expect((await list()).some(({ view }) => view === "orders")).toBe(false);
  expect((await operate(["status", "--sample", "0", ...data])).stdout).toMatch(/[1-9]\d* parked/);
});

it("what is called wrongly is refused with what to do", async () => {
  const calls: readonly (readonly [readonly string[], number, string])[] = [
    [["views", "rebuild"], 2, "name one view of orders, "],
    [["views", "rebuild", "nothing"], 2, 'there is no view "nothing"; the views are orders, '],
    [["views", "resume", "orders"], 1, "orders is not being built"],
    [["views", "rebuild", "orders"], 2, "Say so with --yes"],
    [["views", "rollback", "orders"], 2, "Say so with --yes"],
    [["views", "rollback", "orders", "--yes"], 1, "orders has no generation to go back to"],
    [["parked", "skip", "orders", "order-1", "--yes"], 2, "--reason"],
    [["parked", "retry", "orders", "order-1"], 2, "nothing of orders order-1 is parked"],
    [["parked", "show", "orders"], 2, "name a view and a key"],
  ];
  await Promise.all(
    calls.map(async ([args, code, message]) => {
      expect(await operate([...args, ...data])).toMatchObject({ code, stderr: expect.stringContaining(message) });
    }),
  );
});

interface Verified {
  readonly view: string;
  readonly documents: number;
  readonly mismatches: readonly object[];
}
