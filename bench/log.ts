/** Logs of any length, and the documents that follow them, made by the runtime itself in this process. */

import { join } from "node:path";
import { runCommandHandlers } from "../cmd/command-handler/app.ts";
import { runProjectors } from "../cmd/projector/app.ts";
import { openEmbeddedDocuments } from "../internal/documents/embedded/open.ts";
import { openEmbeddedLog } from "../internal/log/embedded/open.ts";
import { startBackground } from "../internal/platform/background.ts";
import { createLogger } from "../internal/platform/logging.ts";
import { orderDomain, orderTopics } from "../test/support/order-domain.ts";
import { count, untilDecided, untilProjected } from "./catching-up.ts";
import type { Bench } from "./measurement.ts";
import { COMMANDS_PER_ORDER, commandRecord, commandsOf } from "./orders.ts";

export interface FilledLog {
  /** The data folder, for `headwater dev` too. */
  readonly directory: string;
  /** The orders in it, named by this prefix. */
  readonly orders: number;
  readonly prefix: string;
  readonly events: number;
}

export interface BuiltDocuments {
  readonly log: FilledLog;
  /** What the projector took from the first event to the last. */
  readonly seconds: number;
}

const PREFIX = "order";

/** Orders whose commands are appended at once; while one batch is decided, the next is encoded. */
const BATCH_ORDERS = 1_000;

const filled = new Map<number, Promise<FilledLog>>();
const built = new Map<number, Promise<BuiltDocuments>>();

/** A log with so many events, one per command. It is made once in a run. */
export function filledLog(bench: Bench, events: number): Promise<FilledLog> {
  return remembered(filled, events, () => fill(bench, events));
}

/** The same with its documents. */
export function builtDocuments(bench: Bench, events: number): Promise<BuiltDocuments> {
  return remembered(built, events, async () => build(bench, await filledLog(bench, events)));
}

async function fill({ folder, progress }: Bench, events: number): Promise<FilledLog> {
  const directory = join(folder, `log-${events}`);
  const orders = Math.ceil(events / COMMANDS_PER_ORDER);
  await using log = await openEmbeddedLog({ directory, topics: Object.values(orderTopics) });
  const logger = createLogger({ app: "bench", level: "warn" });
  await using _handler = startBackground((signal) =>
    runCommandHandlers({ domains: [orderDomain], instance: "bench" }, { log, logger }, signal),
  );
  for (let from = 0; from < orders; from += BATCH_ORDERS) {
    const batch = Array.from({ length: Math.min(BATCH_ORDERS, orders - from) }, (_, index) => commandsOf(PREFIX, from + index));
    const records = batch.flat().map((command) => commandRecord(command, log));
    await untilDecided(log);
    await log.append(records);
    progress(`a log of ${count(events)} events: ${count(from * COMMANDS_PER_ORDER)}`);
  }
  await untilDecided(log);
  return { directory, orders, prefix: PREFIX, events: orders * COMMANDS_PER_ORDER };
}

async function build({ progress }: Bench, filledBefore: FilledLog): Promise<BuiltDocuments> {
  const { directory, events } = filledBefore;
  await using log = await openEmbeddedLog({ directory, topics: Object.values(orderTopics) });
  await using documents = await openEmbeddedDocuments({ directory });
  const startedMs = performance.now();
  await using _projector = startBackground((signal) =>
    runProjectors({ domains: [orderDomain], instance: "bench" }, { log, documents }, signal),
  );
  await untilProjected(documents, events, (applied) => progress(`documents of ${count(events)} events: ${count(applied)}`));
  return { log: filledBefore, seconds: (performance.now() - startedMs) / 1000 };
}

function remembered<Value>(known: Map<number, Promise<Value>>, key: number, make: () => Promise<Value>): Promise<Value> {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
