/**
 * Taking partitions over. A partition's position counts commands of one topic and events of another, and decisions on it are safe only as long
 * as all of them are what they were: a topic that was created again or restored alone, or lost its end, would have versions written twice,
 * or commands passed over. So whoever takes a partition over first proves that they belong together, and ends with a reason if they do not.
 */

import { create, fromBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { type PartitionPosition, PartitionPositionSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import type { DeployedDomain } from "../domain.ts";
import { encode } from "../encode.ts";
import { lastEvent } from "../event/event-lag.ts";
import { type Log, LogRefusedError, type Owner } from "../log.ts";
import { presentRecords, type ReadableLog } from "../present-records.ts";
import type { EventMessage } from "../upcasting.ts";

/** The key of a partition's position in the state topic. No aggregate id begins with an underscore. */
export const POSITION_KEY = "__position";

/** The key in each partition of the state topic that is there while a log is imported. Without all its state, nothing may be decided. */
export const IMPORT_KEY = "__import";

/** Where a partition stands. */
export interface Position {
  /** The offset of the next command to decide. */
  nextOffset: number;
  /** The partition sequence of the last event. */
  sequence: number;
  /** When the command before `nextOffset` was appended, in milliseconds since 1970; 0: that is not known. */
  lastCommandMs: number;
}

/** What taking over needs. */
export interface TakeOverOptions {
  readonly log: Pick<Log, "partitions" | "topicId" | "begins" | "ends" | "tail" | "latest">;
  readonly domain: Pick<DeployedDomain, "topics" | "aggregate">;
  readonly owner: Pick<Owner, "load">;
}

/** Each takes a connection or two where the log is elsewhere. */
const CHECKED_TOGETHER = 16;

const REMEDY = "Restore all topics of one moment, or export the log and import it into new topics (docs/production.md)";

/**
 * Where partitions stand that an owner has gained.
 *
 * @throws {LogRefusedError} the topics of the log do not belong together; the message says which, and what to do
 */
export async function takeOver(options: TakeOverOptions, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>> {
  const { owner } = options;
  const stored = await Promise.all(
    partitions.map(async (partition) => {
      const [value, importing] = await owner.load(partition, [POSITION_KEY, IMPORT_KEY]);
      if (importing !== undefined) {
        throw new LogRefusedError(
          `partition ${partition} has a part of an import: wait for its end; if it was interrupted, remove the log and import again`,
        );
      }
      return [partition, value === undefined ? undefined : fromBinary(PartitionPositionSchema, value)] as const;
    }),
  );
  // A partition without a position is new like its log, or was added to it: only another one can tell.
  const isNew = stored.some(([, position]) => position === undefined);
  const told = isNew ? await anyPosition(options) : undefined;
  if (told !== undefined) checkTopics(options.log, options.domain, told);
  for (const [, position] of stored) if (position !== undefined) checkTopics(options.log, options.domain, position);
  const positions = stored.map(([partition, position]) => [partition, positionFrom(position)] as const);
  const log = { tail: options.log.tail, begins: once(options.log.begins), ends: once(options.log.ends) };
  for (let first = 0; first < positions.length; first += CHECKED_TOGETHER) {
    const together = positions.slice(first, first + CHECKED_TOGETHER);
    await Promise.all(together.map(([partition, position]) => checkPlace(log, options.domain, partition, position)));
  }
  return new Map(positions);
}

/** Asks for each topic once. */
function once<Answer>(ask: (topic: string) => Promise<Answer>): (topic: string) => Promise<Answer> {
  const answers = new Map<string, Promise<Answer>>();
  return (topic) => {
    const answer = answers.get(topic) ?? ask(topic);
    answers.set(topic, answer);
    return answer;
  };
}

/** A position as it is written. */
export function encodePosition(
  position: Position,
  log: TakeOverOptions["log"],
  { topics }: Pick<DeployedDomain, "topics">,
  writer: string,
): Uint8Array {
  return encode(
    PartitionPositionSchema,
    create(PartitionPositionSchema, {
      nextOffset: BigInt(position.nextOffset),
      sequence: BigInt(position.sequence),
      writer,
      stream: log.topicId(topics.events.name),
      commandsTopicId: log.topicId(topics.commands.name),
      partitions: log.partitions,
      lastCommandMs: BigInt(position.lastCommandMs),
    }),
  );
}

function positionFrom(position: PartitionPosition | undefined): Position {
  return {
    nextOffset: Number(position?.nextOffset ?? 0n),
    sequence: Number(position?.sequence ?? 0n),
    lastCommandMs: Number(position?.lastCommandMs ?? 0n),
  };
}

/** The position of any partition that has one: all were written to one log. It says with how many partitions commands were decided. */
export async function anyPosition({ log, domain }: Pick<TakeOverOptions, "log" | "domain">): Promise<PartitionPosition | undefined> {
  for (let partition = 0; partition < log.partitions; partition += 1) {
    for await (const values of log.latest(domain.topics.state.name, partition, [POSITION_KEY])) {
      const found = values.find(({ value }) => value !== null);
      if (found?.value) return fromBinary(PartitionPositionSchema, found.value);
    }
  }
  return undefined;
}

function checkTopics(log: TakeOverOptions["log"], { topics }: TakeOverOptions["domain"], position: PartitionPosition): void {
  if (position.partitions !== log.partitions) {
    throw new LogRefusedError(
      `commands were decided with ${position.partitions} partitions, and the topics have ${log.partitions}: partitions were added, and orders are ` +
        "looked for where they are not. Export the log and import it into new topics (docs/operations.md)",
    );
  }
  for (const [{ name }, id] of [
    [topics.events, position.stream],
    [topics.commands, position.commandsTopicId],
  ] as const) {
    if (log.topicId(name) === id) continue;
    throw new LogRefusedError(
      `${topics.state.name} belongs to a topic ${name} with the id ${id}, and that has ${log.topicId(name)}: it was created again alone. ${REMEDY}`,
    );
  }
}

async function checkPlace(
  log: ReadableLog,
  { topics, aggregate }: TakeOverOptions["domain"],
  partition: number,
  position: Position,
): Promise<void> {
  // A domain's events have metadata, which the description of any message does not say.
  const schema = aggregate.eventSchema as GenMessage<EventMessage>;
  const [last, command] = await Promise.all([
    lastEvent({ log, topic: topics.events.name, schema }, partition),
    commandBefore(log, topics.commands.name, partition, position.nextOffset),
  ]);
  const found = last?.sequence ?? 0;
  if (found !== position.sequence) {
    throw new LogRefusedError(
      `partition ${partition} of ${topics.state.name} covers ${position.sequence} events, and ${topics.events.name} has ${found}: ` +
        `one of them lost its end or was restored alone. ${REMEDY}`,
    );
  }
  if (command !== undefined && position.lastCommandMs !== 0 && command.timestampMs !== position.lastCommandMs) {
    throw new LogRefusedError(
      `the command at offset ${command.offset} of partition ${partition} of ${topics.commands.name} is not the one that was decided: ` +
        `the topic lost its end or was restored alone. ${REMEDY}`,
    );
  }
}

/** The command before an offset, if it is still there. */
async function commandBefore(log: ReadableLog, topic: string, partition: number, offset: number) {
  for await (const [record] of presentRecords(log, { topic, partition, from: offset - 1, to: offset })) return record;
  return undefined;
}
