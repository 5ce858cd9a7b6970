/** One writer at a time and nothing left open: I9, I10 and I18. */

import { fromBinary } from "@bufbuild/protobuf";
import { PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderTopics } from "../support/order-domain.ts";
import type { Batch, LogDump } from "./dump.ts";
import { type Evidence, positionKey } from "./evidence.ts";

/** The position that the state has is the one that the group has committed, behind the last command. */
export function checkCommitted({ partitions }: Evidence, { committed, ends }: Pick<LogDump, "committed" | "ends">): readonly string[] {
  return partitions.flatMap(({ partition, state }) => {
    const value = state.get(positionKey);
    const position = value === undefined ? 0 : Number(fromBinary(PartitionPositionSchema, value).nextOffset);
    const offset = committed.get(partition) ?? 0;
    const end = ends.find((each) => each.topic === orderTopics.commands.name && each.partition === partition)?.high ?? 0;
    return [
      ...(position === offset ? [] : [`I9: partition ${partition} has the position ${position}, but the group has committed ${offset}`]),
      ...(offset === end ? [] : [`I18: partition ${partition} has commands up to ${end}, and is handled up to ${offset}`]),
    ];
  });
}

/** No transaction is open. */
export function checkStable({ ends }: Pick<LogDump, "ends">): readonly string[] {
  return ends
    .filter(({ stable, high }) => stable !== high)
    .map(({ topic, partition, stable, high }) => `I18: a transaction is open in partition ${partition} of ${topic}: ${stable} of ${high}`);
}

/** Epochs of a producer rise along a partition, and everything is in a transaction that has an end. */
export function checkEpochs(batches: readonly Batch[]): readonly string[] {
  const problems: string[] = [];
  const epochs = new Map<string, number>();
  const open = new Map<string, number>();
  for (const { partition, baseOffset, producerId, producerEpoch, isTransactional, isControl } of batches) {
    const place = `offset ${baseOffset} of partition ${partition}`;
    const producer = `${partition}/${producerId}`;
    if (!isTransactional) problems.push(`I10: the batch at ${place} was written outside a transaction`);
    if (producerEpoch < (epochs.get(producer) ?? 0))
      problems.push(`I10: producer ${producerId} writes with epoch ${producerEpoch} at ${place} after ${epochs.get(producer)}`);
    epochs.set(producer, Math.max(producerEpoch, epochs.get(producer) ?? 0));
    if (isControl) open.delete(producer);
    else open.set(producer, baseOffset);
  }
  return [...problems, ...[...open.values()].map((offset) => `I10: the transaction at offset ${offset} has no end`)];
}
