/** A subscription across the sudden death of everything it reads from. */

import { expect, it } from "vitest";
import { connectGrpc } from "../../../sdk/src/node.ts";
import { freePorts, startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { newOrder } from "../../support/orders.ts";

const orderCount = 100;
const changesPerOrder = 20;
const eventCount = orderCount * (1 + changesPerOrder);
const kills = 3;

it("a subscription sees every event once, in the order of its order, across kill -9 and restart", async () => {
  await using folder = await temporaryFolder();
  const ports = await freePorts();
  const start = () => startDevProcess({ directory: folder.path, ports });
  let dev = await start();
  using headwater = connectGrpc({ commandUrl: `http://${dev.commandAddress}`, queryUrl: `http://${dev.queryAddress}` });
  const versions = new Map<string, number[]>();
  let count = 0;
  let killed = 0;

  const writing = writeAll();
  for await (const { events } of headwater.session().subscribeOrderEvents({}, { timeoutMs: 60_000 })) {
    for (const { metadata } of events) {
      const id = metadata?.aggregateId ?? "";
      versions.set(id, [...(versions.get(id) ?? []), metadata?.version ?? 0]);
    }
    count += events.length;
    if (count >= eventCount) break;
    if (killed < kills && count > (eventCount * (killed + 1)) / (kills + 1)) {
      killed += 1;
      await dev.kill("SIGKILL");
      dev = await start();
    }
  }
  await writing;
  await dev[Symbol.asyncDispose]();

  const gapless = Array.from({ length: 1 + changesPerOrder }, (_, index) => index + 1);
  expect(killed).toBe(kills);
  expect([...versions.values()]).toEqual(Array.from({ length: orderCount }, () => gapless));

  async function writeAll(): Promise<void> {
    await using bulk = headwater.bulk({ timeoutMs: 60_000 });
    const writes = Array.from({ length: orderCount }, async (_, index) => {
      const orderId = `order-${index}`;
      const { lines, ...order } = newOrder(orderId);
      await bulk.execute({ case: "createOrder", value: { ...order, lines: lines.map((line) => ({ ...line, lineId: line.sku })) } });
      for (let change = 1; change <= changesPerOrder; change += 1) {
        await bulk.execute({ case: "changeLineQuantity", value: { orderId, lineId: "TEA", quantity: 10 + change } });
      }
    });
    await Promise.all(writes);
  }
});
