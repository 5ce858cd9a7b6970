/**
 * Where a partition is cut. A partition's state says how many of its commands and events it covers, and all of it was written in the same
 * transactions: so the state of one moment, its events up to there and nothing behind belong together, whatever is decided meanwhile.
 */

import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { POSITION_KEY } from "../../../../internal/cqrs/command/take-over.ts";
import { lastEvent } from "../../../../internal/cqrs/event/event-lag.ts";
import type { Log } from "../../../../internal/cqrs/log.ts";
import { PartitionPositionSchema } from "../../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderEventSchema } from "../../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderGroups, orderTopics } from "../../domain.ts";
import { commandsWaiting } from "../../status/waiting.ts";

const LOOK_EVERY_MS = 100;

export interface Patience {
  readonly deadlineMs: number;
  readonly onWait: (waiting: number) => void;
}

/** A moment of a partition. */
export interface Cut {
  /** All that the state topic has then, by key. */
  readonly state: ReadonlyMap<string, Uint8Array>;
  /** The last event. */
  readonly sequence: number;
  /** The first command that is not decided. */
  readonly nextOffset: number;
}

/** @throws {Error} commands are not decided in time, or nobody is there to decide them */
export async function untilDecided(log: Log, { deadlineMs, onWait }: Patience): Promise<void> {
  for (;;) {
    const waiting = (await commandsWaiting(log)).reduce((sum, count) => sum + count, 0);
    if (waiting === 0) return;
    const members = await log.members(orderGroups.handler);
    const commands = `${waiting.toLocaleString("en")} commands are not decided`;
    if (members.length === 0) throw new Error(`${commands}, and no command handler runs: run the system until they are, and export again`);
    if (Date.now() > deadlineMs) throw new Error(`${commands} yet: stop what sends commands, or wait longer with --wait`);
    onWait(waiting);
    await delay(LOOK_EVERY_MS);
  }
}

/** The present moment of a partition, once its events can be read. @throws {Error} they cannot in time, or its state does not cover them */
export async function loadCut(log: Log, partition: number, { deadlineMs }: Patience): Promise<Cut> {
  const events = { log, topic: orderTopics.events.name, schema: OrderEventSchema };
  const lastSequence = async (): Promise<number> => (await lastEvent(events, partition))?.sequence ?? 0;
  const before = await lastSequence();
  const [begins, state] = await Promise.all([log.begins(orderTopics.commands.name), loadState(log, partition)]);
  const value = state.get(POSITION_KEY);
  const position = value === undefined ? undefined : fromBinary(PartitionPositionSchema, value);
  const sequence = Number(position?.sequence ?? 0n);
  const nextOffset = position === undefined ? (begins[partition] ?? 0) : Number(position.nextOffset);
  if (sequence < before)
    throw new Error(
      `partition ${partition} has events up to ${before}, and its state covers ${sequence}: the state was changed or removed`,
    );
  // A broker shows a transaction's parts one after the other.
  while ((await lastSequence()) < sequence) {
    if (Date.now() > deadlineMs)
      throw new Error(`partition ${partition} lacks events that its state covers: export again, or look at the log`);
    await delay(LOOK_EVERY_MS);
  }
  return { state, sequence, nextOffset };
}

async function loadState(log: Log, partition: number): Promise<ReadonlyMap<string, Uint8Array>> {
  const state = new Map<string, Uint8Array>();
  for await (const values of log.latest(orderTopics.state.name, partition)) {
    for (const { key, value } of values) {
      if (value === null) state.delete(key);
      else state.set(key, value);
    }
  }
  return state;
}
