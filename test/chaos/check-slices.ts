/** Each slice that a handler committed is whole: I8, and the counts of I20. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { decideCommand } from "../../internal/cqrs/command/decide-command.ts";
import { emptySnapshot, type Snapshot } from "../../internal/cqrs/command/snapshots.ts";
import type { LogRecord } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { CommandOutcomeSchema } from "../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema, PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { tooLargeIn } from "../support/history-checker.ts";
import { orderDomain } from "../support/order-domain.ts";
import { type PartitionLog, positionKey } from "./evidence.ts";

/** What became of the records in the commands topic. */
export interface Account {
  readonly decided: number;
  /** Repeated, or with other facts under a used id, or a question. */
  readonly answered: number;
  readonly poison: number;
}

export interface SliceCheck {
  readonly problems: readonly string[];
  readonly account: Account;
}

/**
 * A position in the state topic ends a slice: the commands since the last one, decided again, change exactly the snapshots that lie between the
 * two, and make exactly as many events as the sequence went on.
 */
export function checkSlices(log: PartitionLog, partitions: number): SliceCheck {
  const problems: string[] = [];
  const snapshots = new Map<string, Snapshot>();
  const tooLarge = tooLargeIn(log.deadLetters);
  const account = { decided: 0, answered: 0, poison: 0 };
  let written = new Map<string, LogRecord>();
  let nextCommand = 0;
  let sequence = 0;
  let offset = -1;
  for (const record of log.stateRecords) {
    if (record.key !== positionKey) {
      if (written.has(record.key)) problems.push(`${record.key} is written twice in the slice before offset ${record.offset}`);
      written.set(record.key, record);
      continue;
    }
    const position = fromBinary(PartitionPositionSchema, record.value);
    const place = `the slice of partition ${log.partition} up to command ${position.nextOffset} (${position.writer})`;
    if (record.headers?.["writer"] !== position.writer) problems.push(`${place} was written by ${record.headers?.["writer"]}`);
    if (Number(position.nextOffset) <= offset) problems.push(`${place} goes back from ${offset}`);
    offset = Number(position.nextOffset);
    const changed = new Set<Snapshot>();
    for (let command = log.commands[nextCommand]; command !== undefined && command.offset < offset; command = log.commands[nextCommand]) {
      sequence = decideAgain(command, sequence, changed);
      nextCommand += 1;
    }
    if (Number(position.sequence) !== sequence) problems.push(`${place} ends at event ${position.sequence}, a replay at ${sequence}`);
    for (const snapshot of changed) {
      for (const { key, value } of snapshot.outcomes.takeChanges()) {
        const page = written.get(key);
        if (page === undefined || Buffer.compare(page.value, value ?? new Uint8Array()) !== 0)
          problems.push(`${place} does not have the outcomes ${key} as a replay has them`);
        written.delete(key);
      }
      const found = written.get(snapshot.aggregateId);
      if (found === undefined) problems.push(`${place} has no state of ${snapshot.aggregateId}`);
      else if (!isSame(found.value, snapshot)) problems.push(`${place} has another state of ${snapshot.aggregateId} than a replay`);
      written.delete(snapshot.aggregateId);
    }
    for (const key of written.keys()) problems.push(`${place} has state of ${key}, which it did not change`);
    written = new Map();
  }
  if (written.size > 0) problems.push(`partition ${log.partition} has state of ${[...written.keys()].join(", ")} without a position`);
  return { problems: problems.map((problem) => `I8: ${problem}`), account };

  function decideAgain(record: LogRecord, lastSequence: number, changed: Set<Snapshot>): number {
    const command = tooLarge.has(record.offset) ? undefined : readable(record, partitions);
    if (command === undefined) {
      account.poison += 1;
      return lastSequence;
    }
    const aggregateId = record.key;
    const snapshot = snapshots.get(aggregateId) ?? emptySnapshot(orderDomain.aggregate, aggregateId);
    snapshots.set(aggregateId, snapshot);
    const decided = decideCommand(orderDomain, snapshot, command, lastSequence);
    if (decided.changed) changed.add(snapshot);
    account[decided.changed ? "decided" : "answered"] += 1;
    return lastSequence + decided.events.length;
  }
}

function readable({ key, partition, value }: LogRecord, partitions: number) {
  try {
    const { metadata, command } = fromBinary(OrderCommandRecordSchema, value);
    const isValid = metadata !== undefined && metadata.commandId !== "" && metadata.aggregateId === key && !key.startsWith("_");
    return isValid && partitionOf(key, partitions) === partition ? { metadata, command } : undefined;
  } catch {
    return undefined;
  }
}

function isSame(found: Uint8Array, { aggregateId, version, sequence, state, outcomes }: Snapshot): boolean {
  const { stream } = fromBinary(AggregateSnapshotSchema, found);
  const record = create(AggregateSnapshotSchema, {
    aggregateId,
    version,
    sequence: BigInt(sequence),
    state: toBinary(orderDomain.aggregate.stateSchema, state),
    schemaVersion: orderDomain.states.schemaVersion,
    stream,
    ...outcomes.range,
    outcomes: outcomes.recent.map((bytes) => fromBinary(CommandOutcomeSchema, bytes)),
  });
  return Buffer.compare(found, toBinary(AggregateSnapshotSchema, record)) === 0;
}
