/** Clients in a hurry: hundreds of commands of one order on a stream, sent again as a whole when it breaks, and orders that fill a request. */

import { setTimeout as delay } from "node:timers/promises";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { addLine, changeLineQuantity, createOrder, line, placeOrder } from "../../internal/orders/domain/testing/commands.ts";
import { customers, largeCustomers, largeOrder, type Sent } from "./commands.ts";
import type { ClientHistory } from "./history.ts";
import { createRandom, type Random } from "./random.ts";
import { isFinal } from "./results.ts";
import type { Crowd } from "./sessions.ts";

/** How many commands of an order are under way at once: often more outcomes than its snapshot has room for. */
const PIPELINED = { min: 20, max: 200 } as const;
const PIPELINE_DEADLINE_MS = 12_000;

/** How many lines a large order has: from a quarter of a MiB to nearly a whole one. */
const LARGE_LINES = { min: 250, max: 900 } as const;

const PAUSE_MS = { min: 500, max: 3_000 } as const;

/** Large orders are kept several times in the log and in the documents: so many are enough to meet every fault. */
const LARGE_ORDERS = 60;

/** How often a stream is broken by its own client. */
const BROKEN = 0.3;
const BROKEN_AFTER_MS = { min: 20, max: 800 } as const;

/** Streams of commands, until they are stopped. */
export async function runPipelines({ seed, commander, reader, stopped }: Crowd, history: ClientHistory): Promise<void> {
  const random = createRandom(seed * 7_919);
  while (!stopped.aborted) {
    const orderId = random.uuid();
    const draft = createOrder({ customerId: random.pick(customers), lines: [] });
    await commander.untilKnown(commander.prepare(orderId, draft, { commandId: random.uuid() }), random.integer(0, 1), random);
    const commands = Array.from({ length: random.integer(PIPELINED.min, PIPELINED.max) }, (_, index) =>
      commander.prepare(orderId, addLine(line({ sku: `sku-${index}` })), { commandId: random.uuid() }),
    );
    await sendAll(orderId, commands, random);
    const place = commander.prepare(orderId, placeOrder(), { commandId: random.uuid(), waitFor: CommandStage.PROJECTED });
    const attempt = await commander.untilKnown(place, random.integer(0, 1), random);
    if (attempt.result.kind === "ok" && attempt.result.stage === CommandStage.PROJECTED) await reader.look(attempt);
    await reader.readBack(-2, attempt, random);
    await delay(random.integer(PAUSE_MS.min, PAUSE_MS.max));
  }

  /** All of them again, the answered ones too, until all are answered. */
  async function sendAll(orderId: string, commands: readonly Sent[], each: Random): Promise<void> {
    for (let round = each.integer(0, 1), isFirst = true; !stopped.aborted; round += 1, isFirst = false) {
      const isBroken = isFirst && each.chance(BROKEN);
      const deadlineMs = isBroken ? each.integer(BROKEN_AFTER_MS.min, BROKEN_AFTER_MS.max) : PIPELINE_DEADLINE_MS;
      const attempts = await commander.execute(commands, round, deadlineMs);
      if (isFirst && attempts.every(isFinal)) history.pipelines.push({ orderId, commandIds: commands.map(({ commandId }) => commandId) });
      if (attempts.every(isFinal)) return;
      await delay(each.integer(0, PAUSE_MS.min));
    }
  }
}

/** Orders of nearly a MiB, and small changes of them, which write all of it again. */
export async function runLargeOrders({ seed, commander, reader, stopped }: Crowd): Promise<void> {
  const random = createRandom(seed * 104_729);
  for (let order = 0; order < LARGE_ORDERS && !stopped.aborted; order += 1) {
    const orderId = random.uuid();
    const customerId = random.pick(largeCustomers);
    const lines = random.integer(LARGE_LINES.min, LARGE_LINES.max);
    const create = commander.prepare(orderId, largeOrder(customerId, lines), { commandId: random.uuid() });
    await commander.untilKnown(create, random.integer(0, 1), random);
    for (let change = 0; change < random.integer(1, 4) && !stopped.aborted; change += 1) {
      const command = changeLineQuantity(String(random.integer(1, lines)), random.integer(2, 9));
      const prepared = commander.prepare(orderId, command, { commandId: random.uuid(), waitFor: CommandStage.PROJECTED });
      const attempt = await commander.untilKnown(prepared, random.integer(0, 1), random);
      if (attempt.result.kind === "ok" && attempt.result.stage === CommandStage.PROJECTED) await reader.look(attempt);
      await reader.readBack(-3, attempt, random);
      if (random.chance(0.3)) await reader.list(-3, customerId, attempt, random);
    }
    await delay(random.integer(PAUSE_MS.min, PAUSE_MS.max));
  }
}
