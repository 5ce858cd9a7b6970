/** Commands that are gone before they were decided: which, and how to go on behind them. */

import { fromBinary } from "@bufbuild/protobuf";
import { encodePosition, POSITION_KEY } from "../../../internal/cqrs/command/take-over.ts";
import type { Log, Owner } from "../../../internal/cqrs/log.ts";
import { PartitionPositionSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderDomain, orderGroups, orderTopics } from "../domain.ts";

/** A partition of which commands are gone. */
export interface LostCommands {
  readonly partition: number;
  /** The offset of the command that would have been decided next. */
  readonly next: number;
  /** The offset at which there are commands again, or will be. */
  readonly goesOnAt: number;
}

/** The first wait of a poll may be that for the group to give up a handler that was killed. */
const POLL = { maxRecords: 1, maxBytes: 1, waitMs: 1_000 } as const;

/** The partitions of which commands are gone: deleted at their beginning, or with the topic's end. */
export async function findLost(log: Log): Promise<readonly LostCommands[]> {
  const [begins, ends] = await Promise.all([log.begins(orderTopics.commands.name), log.ends(orderTopics.commands.name)]);
  const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
  const found = await Promise.all(
    partitions.map(async (partition) => {
      const next = await nextOffset(log, partition);
      const goesOnAt = Math.min(Math.max(next, begins[partition] ?? 0), ends[partition] ?? 0);
      return { partition, next, goesOnAt };
    }),
  );
  return found.filter(({ next, goesOnAt }) => next !== goesOnAt);
}

/**
 * Moves the positions of partitions behind what is gone, as their owner: a handler that decides meanwhile would be fenced, or this.
 *
 * @throws {FencedError} a command handler has joined the group
 */
export async function skip(log: Log, lost: readonly LostCommands[]): Promise<void> {
  const { commands, state } = orderTopics;
  await using owner = await log.own({ group: orderGroups.handler, instance: "skip-lost", topic: commands.name, stateTopic: state.name });
  const waiting = new Set(lost.map(({ partition }) => partition));
  while (waiting.size > 0) for (const partition of (await owner.poll(POLL)).gained) waiting.delete(partition);
  const records = await Promise.all(lost.map(async (each) => ({ topic: state.name, ...(await movedPosition(log, owner, each)) })));
  await owner.transact({ records, consumed: new Map(lost.map(({ partition, goesOnAt }) => [partition, goesOnAt])) });
}

async function nextOffset(log: Log, partition: number): Promise<number> {
  let next = 0;
  for await (const values of log.latest(orderTopics.state.name, partition, [POSITION_KEY])) {
    for (const { value } of values) if (value !== null) next = Number(fromBinary(PartitionPositionSchema, value).nextOffset);
  }
  return next;
}

async function movedPosition(log: Log, owner: Owner, { partition, goesOnAt }: LostCommands) {
  const [value] = await owner.load(partition, [POSITION_KEY]);
  const sequence = value === undefined ? 0 : Number(fromBinary(PartitionPositionSchema, value).sequence);
  // Of the command before it nothing is known: it is gone.
  const position = { nextOffset: goesOnAt, sequence, lastCommandMs: 0 };
  return { partition, key: POSITION_KEY, value: encodePosition(position, log, orderDomain, owner.writer) };
}
