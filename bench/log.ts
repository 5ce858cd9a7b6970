/** Logs of any length, and the documents that follow them, made by the runtime itself in this process. */

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { runOrderHandler } from "../cmd/command-handler/app.ts";
import { runOrderProjector } from "../cmd/projector/app.ts";
import type { Log, NewRecord } from "../internal/cqrs/log.ts";
import { partitionOf } from "../internal/cqrs/partition.ts";
import { openEmbeddedDocuments } from "../internal/documents/embedded/open.ts";
import { CommandMetadataSchema } from "../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandRecordSchema } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { openEmbeddedLog } from "../internal/log/embedded/open.ts";
import { orderViews } from "../internal/orders/projection/views.ts";
import { orderGroups, orderTopics } from "../internal/orders/topics.ts";
import { startBackground } from "../internal/platform/background.ts";
import { createLogger } from "../internal/platform/logging.ts";
import type { Bench } from "./measurement.ts";
import { COMMANDS_PER_ORDER, commandsOf, submission } from "./orders.ts";

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

const ASK_AGAIN_MS = 20;

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
  await using _handler = startBackground((signal) => runOrderHandler({ instance: "bench" }, { log, logger }, signal));
  for (let from = 0; from < orders; from += BATCH_ORDERS) {
    const records = Array.from({ length: Math.min(BATCH_ORDERS, orders - from) }, (_, index) => recordsOf(log, from + index)).flat();
    await decided(log);
    await log.append(records);
    progress(`a log of ${count(events)} events: ${count(from * COMMANDS_PER_ORDER)}`);
  }
  await decided(log);
  return { directory, orders, prefix: PREFIX, events: orders * COMMANDS_PER_ORDER };
}

function recordsOf(log: Log, number: number): readonly NewRecord[] {
  const now = timestampFromMs(Date.now());
  return commandsOf(PREFIX, number).map((command) => {
    const { aggregateId, ...facts } = submission(command);
    const metadata = create(CommandMetadataSchema, { ...facts, aggregateId, acceptedAt: now, occurredAt: now, replyTo: "bench" });
    const value = toBinary(OrderCommandRecordSchema, create(OrderCommandRecordSchema, { metadata, command: { command } }));
    return { topic: orderTopics.commands.name, partition: partitionOf(aggregateId, log.partitions), key: aggregateId, value };
  });
}

async function decided(log: Log): Promise<void> {
  while (true) {
    const { name } = orderTopics.commands;
    const [ends, committed] = await Promise.all([log.ends(name), log.committed(orderGroups.handler, name)]);
    if (sum(committed) >= sum(ends)) return;
    await delay(ASK_AGAIN_MS);
  }
}

async function build({ progress }: Bench, filledBefore: FilledLog): Promise<BuiltDocuments> {
  const { directory, events } = filledBefore;
  await using log = await openEmbeddedLog({ directory, topics: Object.values(orderTopics) });
  await using documents = await openEmbeddedDocuments({ directory });
  const end = sum(await log.ends(orderTopics.events.name));
  const startedMs = performance.now();
  await using _projector = startBackground((signal) => runOrderProjector({ instance: "bench" }, { log, documents }, signal));
  while (true) {
    const checkpoints = await Promise.all(orderViews.map((view) => documents.checkpoints(view.collection.name)));
    const applied = Math.min(...checkpoints.map((ofView) => sum(ofView.map(({ nextOffset }) => nextOffset))));
    progress(`documents of ${count(events)} events: ${count(applied)}`);
    if (applied >= end) break;
    await delay(ASK_AGAIN_MS);
  }
  return { log: filledBefore, seconds: (performance.now() - startedMs) / 1000 };
}

function remembered<Value>(known: Map<number, Promise<Value>>, key: number, make: () => Promise<Value>): Promise<Value> {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}

function count(number: number): string {
  return number.toLocaleString("en");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
