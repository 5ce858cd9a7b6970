/** What becomes of the whole system in one process when a part of it fails: it goes on where it can, or ends with the reason. */

import { randomUUID } from "node:crypto";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { type DevProcess, startDevProcess, temporaryFolder } from "../support/dev-process.ts";
import { CallError, createGrpcClient } from "../support/grpc-client.ts";
import { newOrder } from "../support/orders.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";

const { createOrder } = OrderCommandService.method;
const { getOrder } = OrderQueryService.method;

const DISK_MB = 12;

const PAGE_BYTES = 4_096;

it("a handler that fails ends the process with the reason as its last line", async () => {
  await using folder = await temporaryFolder();
  const orderId = randomUUID();
  {
    await using dev = await startDevProcess({ directory: folder.path });
    using commands = createGrpcClient(dev.commandAddress);
    await commands.call(createOrder, newOrder(orderId));
  }
  using log = new DatabaseSync(join(folder.path, "log.sqlite"));
  log.prepare("UPDATE latest SET value = ? WHERE key = ?").run(Uint8Array.of(0xff), orderId);
  log.close();
  await using dev = await startDevProcess({ directory: folder.path });
  using commands = createGrpcClient(dev.commandAddress);
  await commands.call(createOrder, newOrder(orderId)).catch(() => undefined);
  expect(await dev.exited).toBe(1);
  expect(dev.output().split("\n").at(-1)).toMatch(/^headwater dev has ended: ./);
});

it("documents that are found damaged end the process, and are made again at the next start", async () => {
  await using folder = await temporaryFolder();
  const acknowledged: string[] = [];
  {
    await using dev = await startDevProcess({ directory: folder.path });
    await order(dev, acknowledged);
  }
  expect(acknowledged).not.toEqual([]);
  await damageTable(join(folder.path, "documents.sqlite"), "checkpoints");
  const said = await startDevProcess({ directory: folder.path }).then(
    (dev) => dev.exited.then(() => dev.output()),
    (error: unknown) => String(error),
  );
  expect(said.split("\n").at(-1)).toMatch(/^headwater dev has ended: .*documents\.sqlite is damaged .*: at the next start/);
  await using dev = await startDevProcess({ directory: folder.path });
  await expectReadable(dev, acknowledged);
});

// Only root can mount a small disk.
describe.skipIf(!canMount)("a disk that is full", () => {
  it.each([
    ["the log", "LOG_UNAVAILABLE"],
    ["the documents", "NOT_YET_VISIBLE"],
  ] as const)(
    "of %s: reads go on, writes are refused until there is room again, and nothing acknowledged is lost",
    async (full, reason) => {
      await using disk = await mountSmallDisk(DISK_MB);
      await using folder = await temporaryFolder();
      // The other store has all the room that it wants.
      const other = full === "the log" ? "documents" : "log";
      for (const suffix of ["", "-wal", "-shm"]) {
        await symlink(join(folder.path, `${other}.sqlite${suffix}`), join(disk.path, `${other}.sqlite${suffix}`));
      }
      const acknowledged: string[] = [];
      {
        await using dev = await startDevProcess({ directory: disk.path });
        await orderUntilRefused(dev, disk, acknowledged, reason);
        await expectReadable(dev, acknowledged.slice(0, 1));
        await disk.free();
        await expect.poll(() => order(dev, acknowledged)).toBe("");
        await expectReadable(dev, acknowledged);
        expect(dev.output()).not.toMatch(/has ended/);
      }
      await using dev = await startDevProcess({ directory: disk.path });
      await expectReadable(dev, acknowledged);
    },
  );

  it("lets a process end that is told to", async () => {
    await using disk = await mountSmallDisk(DISK_MB);
    await using dev = await startDevProcess({ directory: disk.path });
    await orderUntilRefused(dev, disk, [], "LOG_UNAVAILABLE");
    await dev.kill("SIGTERM");
    expect(await dev.exited).toBe(0);
  });
});

/** Opening does not notice: it reads which tables there are, and nothing of theirs. */
async function damageTable(path: string, table: string): Promise<void> {
  using db = new DatabaseSync(path);
  const page = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").get(table)?.["rootpage"];
  db.close();
  const file = await readFile(path);
  await writeFile(path, file.fill(0xee, (Number(page) - 1) * PAGE_BYTES, Number(page) * PAGE_BYTES));
}

/** Orders and reads them back, on a disk without room, until something is refused. */
async function orderUntilRefused(dev: DevProcess, disk: SmallDisk, acknowledged: string[], expected: string): Promise<void> {
  await order(dev, acknowledged);
  await disk.fill();
  let refused = "";
  while (refused === "") refused = await order(dev, acknowledged);
  expect(refused).toBe(expected);
}

/** Places an order and reads it. Returns why not, or nothing. */
async function order(dev: DevProcess, acknowledged: string[]): Promise<string> {
  using commands = createGrpcClient(dev.commandAddress);
  using queries = createGrpcClient(dev.queryAddress);
  const orderId = randomUUID();
  const lines = Array.from({ length: 50 }, (_, index) => ({
    sku: `SKU-${index}`,
    description: "x".repeat(200),
    quantity: 1,
    unitPrice: { currencyCode: "EUR", minorUnits: 1n },
  }));
  try {
    const { receipt } = await commands.call(createOrder, { ...newOrder(orderId), lines });
    acknowledged.push(orderId);
    await queries.call(getOrder, { orderId, consistencyToken: receipt?.consistencyToken ?? "" }, { deadlineMs: 3_000 });
    return "";
  } catch (error) {
    if (error instanceof CallError) return error.reason ?? error.message;
    throw error;
  }
}

async function expectReadable(dev: DevProcess, orderIds: readonly string[]): Promise<void> {
  using queries = createGrpcClient(dev.queryAddress);
  for (const orderId of orderIds) {
    await expect.poll(() => queries.call(getOrder, { orderId }).then(({ order: found }) => found?.orderId, String)).toBe(orderId);
  }
}
