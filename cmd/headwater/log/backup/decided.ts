/** Waits until a log stands still with all its commands decided: only then do its parts belong together. */

import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { lastEvent } from "../../../../internal/cqrs/event-lag.ts";
import type { Log } from "../../../../internal/cqrs/log.ts";
import { POSITION_KEY } from "../../../../internal/cqrs/slices.ts";
import { PartitionPositionSchema } from "../../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderEventSchema } from "../../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderGroups, orderTopics } from "../../../../internal/orders/topics.ts";
import { commandsWaiting } from "../../status/waiting.ts";

const LOOK_EVERY_MS = 100;

export interface Patience {
  readonly deadlineMs: number;
  readonly onWait: (waiting: number) => void;
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

/** The state of a partition that covers all its commands and events. @throws {Error} it does not in time */
export async function loadDecidedState(log: Log, partition: number, { deadlineMs }: Patience): Promise<ReadonlyMap<string, Uint8Array>> {
  const events = { log, topic: orderTopics.events.name, schema: OrderEventSchema };
  for (;;) {
    const state = await loadState(log, partition);
    const last = (await lastEvent(events, partition))?.sequence ?? 0;
    const [begins, ends] = await Promise.all([log.begins(orderTopics.commands.name), log.ends(orderTopics.commands.name)]);
    const value = state.get(POSITION_KEY);
    const position = value === undefined ? undefined : fromBinary(PartitionPositionSchema, value);
    const next = position === undefined ? (begins[partition] ?? 0) : Number(position.nextOffset);
    if (next >= (ends[partition] ?? 0) && Number(position?.sequence ?? 0n) === last) return state;
    // A broker shows a transaction's parts one after the other.
    if (Date.now() > deadlineMs)
      throw new Error(`the state of partition ${partition} does not cover its commands and events; export again`);
    await delay(LOOK_EVERY_MS);
  }
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
