/** What sending records has in common, in a transaction or not. */

import type { PartitionerArgs, RecordMetadata, TopicMessages } from "kafkajs";
import { LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { messageFromRecord } from "./record.ts";

/** A larger record is refused before it spoils the batch that it would travel in; topics are created with room for it. */
export const MAX_RECORD_BYTES = 2 * 1024 * 1024;

/** Where the first record of a topic's partition was written, and how many follow it. */
export interface Placed {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly count: number;
}

/** The partition is chosen before a record comes here: kafkajs asks its partitioner even so. */
export function chosenPartition() {
  return ({ message }: PartitionerArgs): number => message.partition ?? 0;
}

export function topicMessages(records: readonly NewRecord[]): TopicMessages[] {
  return [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, ofTopic]) => ({ topic, messages: ofTopic.map(messageFromRecord) }));
}

/**
 * kafkajs reports success for a batch of which a partition was never written, when its leader moves: so the answer must name each partition
 * exactly once.
 *
 * @throws {LogUnavailableError} it does not; nobody knows what was written
 */
export function baseOffsets(metadata: readonly RecordMetadata[], records: readonly NewRecord[]): readonly Placed[] {
  const counts = new Map<string, number>();
  for (const { topic, partition } of records) counts.set(`${partition}/${topic}`, (counts.get(`${partition}/${topic}`) ?? 0) + 1);
  const placed = metadata.map(({ topicName, partition, errorCode, baseOffset }) => {
    const count = counts.get(`${partition}/${topicName}`);
    if (count === undefined || errorCode !== 0 || Number(baseOffset) < 0) {
      throw new LogUnavailableError(`partition ${partition} of ${topicName} did not confirm what was sent`);
    }
    counts.delete(`${partition}/${topicName}`);
    return { topic: topicName, partition, baseOffset: Number(baseOffset), count };
  });
  if (counts.size > 0) throw new LogUnavailableError(`${[...counts.keys()].join(", ")} did not confirm what was sent`);
  return placed;
}
