/** Many who watch, drop out and come back, at a server whose memory is looked at. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { Headwater } from "../../../sdk/src/index.ts";
import { connectGrpc } from "../../../sdk/src/node.ts";
import { startDevProcess } from "../../support/dev-process.ts";
import { newOrder } from "../../support/orders.ts";

const watcherCount = 1_000;
const orderCount = 200;
const changesPerOrder = 10;
const lastVersion = 1 + changesPerOrder;

/** A connection carries a thousand streams at most; and one that breaks takes its watchers with it. */
const connectionCount = 8;

/** What all watchers together may cost the server. Each is a call of some tens of kilobytes; the rest is garbage that was not collected yet. */
const maxGrowthMiB = 400;

const seed = Number(process.env["SEED"] ?? Math.trunc(Math.random() * 2 ** 31));

it(`${watcherCount} who watch ${orderCount} changing orders, and drop out and resume, all see the last state and never an older one`, async () => {
  console.log(`many-watchers: SEED=${seed}`);
  await using dev = await startDevProcess();
  using stack = new DisposableStack();
  const connect = () => stack.use(connectGrpc({ commandUrl: `http://${dev.commandAddress}`, queryUrl: `http://${dev.queryAddress}` }));
  const connections = Array.from({ length: connectionCount }, connect);
  const random = randomOf(seed);
  const writer = connect();
  // The same without watchers, so that what the log, the documents and the warm code take is not counted as theirs.
  await changeAll(writer, idsOf("unwatched"));
  const before = residentMiB(dev.pid);

  const orderIds = idsOf("watched");
  const watchers = Array.from({ length: watcherCount }, async (_, index) => {
    const session = (connections[index % connectionCount] ?? writer).session();
    return watch((afterVersion) => session.watchOrder({ orderId: orderIds[index % orderCount] ?? "", afterVersion }), random);
  });
  const startedAt = performance.now();
  await changeAll(writer, orderIds);
  const changedMs = performance.now() - startedAt;
  const during = residentMiB(dev.pid);
  const seen = await Promise.all(watchers);
  const seenMs = performance.now() - startedAt;
  const after = residentMiB(dev.pid);

  for (const { versions } of seen) expect(versions).toEqual([...new Set(versions)].toSorted((a, b) => a - b));
  expect(seen.map(({ versions }) => versions.at(-1))).toEqual(seen.map(() => lastVersion));
  const shown = seen.reduce((sum, { versions }) => sum + versions.length, 0);
  const resumed = seen.reduce((sum, { drops }) => sum + drops, 0);
  console.log(
    `many-watchers: ${orderCount * lastVersion} events in ${changedMs.toFixed(0)} ms, all seen after ${seenMs.toFixed(0)} ms; ` +
      `${shown} states shown of ${watcherCount * lastVersion}, ${resumed} resumptions; ` +
      `resident ${before.toFixed(0)} MiB before, ${during.toFixed(0)} during, ${after.toFixed(0)} after`,
  );
  expect(resumed).toBeGreaterThan(watcherCount / 10);
  expect(Math.max(during, after) - before).toBeLessThan(maxGrowthMiB);
});

function idsOf(name: string): readonly string[] {
  return Array.from({ length: orderCount }, (_, index) => `${name}-${index}`);
}

async function changeAll(headwater: Headwater, orderIds: readonly string[]): Promise<void> {
  await using bulk = headwater.bulk();
  const changes = orderIds.map(async (orderId) => {
    const { lines, ...order } = newOrder(orderId);
    await bulk.execute({ case: "createOrder", value: { ...order, lines: lines.map((line) => ({ ...line, lineId: line.sku })) } });
    for (let change = 1; change <= changesPerOrder; change += 1) {
      await bulk.execute({ case: "changeLineQuantity", value: { orderId, lineId: "TEA", quantity: 10 + change } });
    }
  });
  await Promise.all(changes);
}

/** Watches to the last version. Drops out after some states, and goes on behind the last one seen. */
async function watch(follow: (afterVersion: number) => AsyncIterable<{ readonly version: number }>, random: () => number) {
  const versions: number[] = [];
  let drops = -1;
  while (versions.at(-1) !== lastVersion) {
    drops += 1;
    for await (const { version } of follow(versions.at(-1) ?? 0)) {
      versions.push(version);
      if (version === lastVersion || random() < 0.2) break;
    }
  }
  return { versions, drops };
}

function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomOf(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
