/** Fills the topics as Headwater does: commands are appended, a handler decides them, a projector follows. */

import type { Log, NewRecord } from "../../internal/cqrs/log.ts";
import type { AnyOrderCommand } from "../../test/support/order-domain.ts";
import { startProcess } from "../../test/support/processes.ts";
import { count, untilDecided, untilProjected } from "../catching-up.ts";
import { COMMANDS_PER_ORDER, commandRecord, commandsOf, interleaved } from "../orders.ts";
import { type KafkaBench, openDocuments, openLog } from "./stores.ts";

/** All orders' ids begin so. */
export const ORDER_PREFIX = "order";

/** Orders whose commands are appended at once. */
const BATCH_ORDERS = 1_000;

export interface Fill {
  readonly orders: number;
  readonly recordOf: (command: AnyOrderCommand, log: Log) => NewRecord;
}

/** Appends all commands of so many orders, and nobody decides them yet. */
export async function appendOrders({ progress }: KafkaBench, log: Log, { orders, recordOf }: Fill): Promise<void> {
  for (let from = 0; from < orders; from += BATCH_ORDERS) {
    progress(`${count(from * COMMANDS_PER_ORDER)} of ${count(orders * COMMANDS_PER_ORDER)} commands`);
    const batch = Array.from({ length: Math.min(BATCH_ORDERS, orders - from) }, (_, index) => commandsOf(ORDER_PREFIX, from + index));
    await log.append(interleaved(batch).map((command) => recordOf(command, log)));
  }
}

/** The events of so many orders, one for each command. */
export async function fillEvents(bench: KafkaBench, orders: number): Promise<void> {
  await using log = await openLog(bench.stores);
  await using _handler = await startProcess("command-handler", bench.stores);
  await appendOrders(bench, log, { orders, recordOf: commandRecord });
  await untilDecided(log);
}

/** Projects all events of so many orders into an empty database. Returns how many it did per second. */
export async function projectEvents({ stores, progress }: KafkaBench, orders: number): Promise<number> {
  const events = orders * COMMANDS_PER_ORDER;
  await using documents = await openDocuments(stores);
  await using _projector = await startProcess("projector", stores);
  return await untilProjected(documents, events, (applied) => progress(`documents of ${count(events)} events: ${count(applied)}`));
}
