/** Orders without their history: the state topic as it is after many orders, and a trickle of commands that shows who decides. */

import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { decideCommand } from "../../internal/cqrs/command/decide-command.ts";
import { createSnapshots, emptySnapshot } from "../../internal/cqrs/command/snapshots.ts";
import type { Log, NewRecord } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { OrderCommandRecordSchema } from "../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { orderDomain, orderTopics } from "../../test/support/order-domain.ts";
import { count } from "../catching-up.ts";
import { commandRecord, commandsOf, orderId } from "../orders.ts";
import type { KafkaBench } from "./stores.ts";

const BATCH_RECORDS = 10_000;

/** Often enough to tell hundredths of a second. */
const TRICKLE_EVERY_MS = 20;

/** Writes the states of so many orders. They are alike but for their ids, and nobody needs their events here. */
export async function fillState({ progress }: KafkaBench, log: Log, orders: number): Promise<void> {
  const value = stateAfterCreation(log);
  const topic = orderTopics.state.name;
  for (let from = 0; from < orders; from += BATCH_RECORDS) {
    progress(`${count(from)} of ${count(orders)} orders`);
    const records = Array.from({ length: Math.min(BATCH_RECORDS, orders - from) }, (_, index): NewRecord => {
      const key = orderId("stored", from + index);
      return { topic, partition: partitionOf(key, log.partitions), key, value };
    });
    await log.append(records);
  }
}

/** Sends a command to every partition, again and again, each for a new order. */
export async function trickle(log: Log, signal: AbortSignal): Promise<void> {
  for (let next = 0; !signal.aborted; ) {
    const records = new Map<number, NewRecord>();
    for (; records.size < log.partitions; next += 1) {
      const record = creation("trickle", next, log);
      if (!records.has(record.partition)) records.set(record.partition, record);
    }
    await log.append([...records.values()]);
    await delay(TRICKLE_EVERY_MS);
  }
}

function stateAfterCreation(log: Log): Uint8Array {
  const record = creation("sample", 0, log);
  const { metadata, command } = fromBinary(OrderCommandRecordSchema, record.value ?? new Uint8Array());
  if (metadata === undefined) throw new Error("a command has no metadata");
  const snapshot = emptySnapshot(orderDomain.aggregate, record.key);
  decideCommand(orderDomain, snapshot, { metadata, command }, 0);
  const [state] = createSnapshots(orderDomain, log.topicId(orderTopics.events.name)).records(record.partition, snapshot);
  return state?.value ?? new Uint8Array();
}

function creation(prefix: string, number: number, log: Log): NewRecord {
  const [create] = commandsOf(prefix, number);
  if (create === undefined) throw new Error("an order has no commands");
  return commandRecord(create, log);
}
