/** What the invariants are checked on: the log decoded, partition by partition, and what was decided in it. */

import { fromBinary } from "@bufbuild/protobuf";
import { pageOfKey } from "../../internal/cqrs/command/outcomes.ts";
import type { LogRecord } from "../../internal/cqrs/log.ts";
import type { EventMetadata } from "../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import type { CommandMetadata, CommandOutcome } from "../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema, OutcomePageSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import type { OrderEvent } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import type { PartitionHistory } from "../support/history-checker.ts";
import { orderTopics } from "../support/order-domain.ts";
import type { LogDump } from "./dump.ts";

export const positionKey = "__position";

/** A partition with all records of the state topic, not only the latest. */
export interface PartitionLog extends PartitionHistory {
  readonly stateRecords: readonly LogRecord[];
}

/** What became of a command, by what is in the log. */
export interface Decision {
  readonly outcome: CommandOutcome;
  readonly events: readonly EventMetadata[];
}

export interface Evidence {
  readonly partitions: readonly PartitionLog[];
  readonly events: readonly { readonly partition: number; readonly event: OrderEvent; readonly metadata: EventMetadata }[];
  /** Of every command that can be read. */
  readonly commands: readonly CommandMetadata[];
  decision(orderId: string, commandId: string): Decision | undefined;
  readonly decisions: readonly (readonly [orderId: string, decision: Decision])[];
}

export function evidenceOf(dump: LogDump, partitions: number): Evidence {
  const { commands, events, state, deadLetters } = orderTopics;
  const logs = Array.from({ length: partitions }, (_, partition): PartitionLog => {
    const stateRecords = dump.records(state.name, partition);
    return {
      partition,
      commands: dump.records(commands.name, partition),
      events: dump.records(events.name, partition),
      deadLetters: dump.records(deadLetters.name, partition),
      state: new Map(stateRecords.map(({ key, value }) => [key, value])),
      stateRecords,
    };
  });
  const decoded = logs.flatMap(({ partition, events: records }) =>
    records.flatMap(({ value }) => {
      const event = orderEvents.read(value);
      return event.metadata === undefined ? [] : [{ partition, event, metadata: event.metadata }];
    }),
  );
  const caused = Map.groupBy(decoded, ({ metadata }) => `${metadata.aggregateId} ${metadata.commandId}`);
  const decisions = new Map<string, Decision>();
  for (const [key, value] of logs.flatMap((log) => [...log.state])) {
    // A page that was deleted is empty.
    if (key === positionKey || value.length === 0) continue;
    const { aggregateId, outcomes } = fromBinary(pageOfKey(key) === undefined ? AggregateSnapshotSchema : OutcomePageSchema, value);
    for (const outcome of outcomes) {
      const name = `${aggregateId} ${outcome.commandId}`;
      decisions.set(name, { outcome, events: (caused.get(name) ?? []).map(({ metadata }) => metadata) });
    }
  }
  return {
    partitions: logs,
    events: decoded,
    commands: logs.flatMap((log) => log.commands.flatMap(metadataOf)),
    decision: (orderId, commandId) => decisions.get(`${orderId} ${commandId}`),
    decisions: [...decisions].map(([name, decision]) => [name.slice(0, name.indexOf(" ")), decision]),
  };
}

function metadataOf({ value }: LogRecord): readonly CommandMetadata[] {
  try {
    const { metadata } = fromBinary(OrderCommandRecordSchema, value);
    return metadata === undefined ? [] : [metadata];
  } catch {
    return [];
  }
}
