/** Everything that the log holds about one order. */

import { fromBinary } from "@bufbuild/protobuf";
import { type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Log, LogRecord } from "../../../internal/cqrs/log.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { presentRecords } from "../../../internal/cqrs/present-records.ts";
import { timestampToMs } from "../../../internal/cqrs/time.ts";
import { OrderCommandRecordSchema } from "../../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderTopics } from "../domain.ts";

/** An event, and where its command came from. */
export interface HistoryEntry {
  readonly version: number;
  readonly sequence: number;
  readonly type: string;
  readonly occurredAt: string;
  readonly recordedAt: string;
  readonly actor: string;
  readonly commandId: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly partition: number;
  readonly offset: number;
  /** Absent: the command is no longer in its topic. */
  readonly commandOffset?: number;
}

/** In the order of the versions. */
export async function loadHistory(log: Log, orderId: string): Promise<readonly HistoryEntry[]> {
  const commandOffsets = await offsetsOfCommands(log, orderId);
  const entries: HistoryEntry[] = [];
  for await (const record of recordsOf(log, orderTopics.events.name, orderId)) {
    const { metadata, event } = fromBinary(OrderEventSchema, record.value);
    const commandOffset = commandOffsets.get(metadata?.commandId ?? "");
    entries.push({
      version: metadata?.version ?? 0,
      sequence: Number(metadata?.sequence ?? 0n),
      type: event.case ?? "unknown",
      occurredAt: timeOf(metadata?.occurredAt),
      recordedAt: timeOf(metadata?.recordedAt),
      actor: metadata?.actor ?? "",
      commandId: metadata?.commandId ?? "",
      correlationId: metadata?.correlationId ?? "",
      causationId: metadata?.causationId ?? "",
      partition: record.partition,
      offset: record.offset,
      ...(commandOffset === undefined ? {} : { commandOffset }),
    });
  }
  return entries;
}

export function timeOf(timestamp: Timestamp | undefined): string {
  return timestamp === undefined ? "" : new Date(timestampToMs(timestamp)).toISOString();
}

/** The first record of each command: later ones are retries. */
async function offsetsOfCommands(log: Log, orderId: string): Promise<ReadonlyMap<string, number>> {
  const offsets = new Map<string, number>();
  for await (const { value, offset } of recordsOf(log, orderTopics.commands.name, orderId)) {
    const { commandId = "" } = metadataIn(value) ?? {};
    if (!offsets.has(commandId)) offsets.set(commandId, offset);
  }
  return offsets;
}

/** A command that cannot be decoded is nobody's. */
function metadataIn(value: Uint8Array) {
  try {
    return fromBinary(OrderCommandRecordSchema, value).metadata;
  } catch {
    return undefined;
  }
}

async function* recordsOf(log: Log, topic: string, orderId: string): AsyncGenerator<LogRecord> {
  for await (const batch of presentRecords(log, { topic, partition: partitionOf(orderId, log.partitions) })) {
    yield* batch.filter(({ key }) => key === orderId);
  }
}
