/**
 * Judges what a run has left in the log, without the code that wrote it except `decideCommand` and the fold, and with what the callers were
 * answered: was every command decided once, is the history gapless, would a replay decide the same, is the state the fold of the events?
 */

import { equals, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { decideCommand, runtimeReasons, TOO_MANY_OUTCOMES } from "../../internal/cqrs/command/decide-command.ts";
import { pageKey, pageKeysOf, pageOfKey } from "../../internal/cqrs/command/outcomes.ts";
import { emptySnapshot, type Snapshot } from "../../internal/cqrs/command/snapshots.ts";
import type { DeployedDomain } from "../../internal/cqrs/domain.ts";
import type { Log, LogRecord, Owner } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { asWritten } from "../../internal/cqrs/upcasting.ts";
import type { EventMetadata } from "../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import { type CommandMetadata, type CommandOutcome, CommandOutcomeSchema } from "../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema, DeadLetterSchema, PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";

/** One partition as the log has it in the end. */
export interface PartitionHistory {
  readonly partition: number;
  readonly commands: readonly LogRecord[];
  readonly events: readonly LogRecord[];
  readonly deadLetters: readonly LogRecord[];
  /** The state topic's values of all ids in the commands with their pages of outcomes, and of the position. */
  readonly state: ReadonlyMap<string, Uint8Array>;
}

/** What a caller was told about a command. */
export interface Answer {
  readonly aggregateId: string;
  readonly outcome: CommandOutcome;
}

const positionKey = "__position";

/** How the reason of a dead letter begins whose command would write more than the log takes. */
const TOO_LARGE = "what the command would write is larger than the log takes";

/** Reads everything. Nobody may write meanwhile. */
export async function readHistory(log: Log, { topics }: DeployedDomain): Promise<readonly PartitionHistory[]> {
  await using owner = await log.own({
    group: "history-checker",
    instance: "checker",
    topic: topics.commands.name,
    stateTopic: topics.state.name,
  });
  const gained = new Set<number>();
  while (gained.size < log.partitions) {
    const poll = await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 1_000 });
    for (const partition of poll.gained) gained.add(partition);
  }
  const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
  return await Promise.all(
    partitions.map(async (partition) => {
      const commands = await readAll(log, topics.commands.name, partition);
      const keys = [...new Set([positionKey, ...commands.map(({ key }) => key)])];
      const ids = await present(owner, partition, keys);
      const pages = [...ids].flatMap(([key, value]) => (key === positionKey ? [] : pageKeysOf(fromBinary(AggregateSnapshotSchema, value))));
      return {
        partition,
        commands,
        events: await readAll(log, topics.events.name, partition),
        deadLetters: await readAll(log, topics.deadLetters.name, partition),
        state: new Map([...ids, ...(await present(owner, partition, pages))]),
      };
    }),
  );
}

async function present(owner: Owner, partition: number, keys: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const values = await owner.load(partition, keys);
  return new Map(keys.flatMap((key, index) => (values[index] === undefined ? [] : [[key, values[index]] as const])));
}

/** Everything that is wrong, in words; empty if nothing is. */
export function checkHistory(domain: DeployedDomain, history: readonly PartitionHistory[], answers: readonly Answer[]): readonly string[] {
  const replayed = new Map<string, ReadonlyMap<string, CommandOutcome>>();
  const problems = history.flatMap((partition) => [
    ...checkEvents(domain, partition),
    ...checkPartition(domain, partition, history.length, replayed),
  ]);
  const events = history.flatMap((partition) => partition.events.flatMap((record) => metadataOf(domain, record) ?? []));
  return [...problems, ...answers.flatMap((answer) => checkAnswer(answer, replayed, events))];
}

/** Sequences 1, 2, 3 … per partition, versions 1, 2, 3 … per aggregate, and all events of a command in one run. */
function checkEvents(domain: DeployedDomain, { partition, events }: PartitionHistory): readonly string[] {
  const problems: string[] = [];
  const versions = new Map<string, number>();
  const commandsSeen = new Set<string>();
  let last: EventMetadata | undefined;
  for (const [index, record] of events.entries()) {
    const metadata = metadataOf(domain, record);
    const place = `event ${index + 1} of partition ${partition}`;
    if (metadata === undefined) {
      problems.push(`${place} has no metadata`);
      continue;
    }
    const { aggregateId, version, sequence, eventId, commandId } = metadata;
    if (sequence !== BigInt(index + 1)) problems.push(`${place} has the sequence ${sequence}`);
    if (aggregateId !== record.key) problems.push(`${place} has the key ${record.key}, but belongs to ${aggregateId}`);
    const expected = (versions.get(aggregateId) ?? 0) + 1;
    if (version !== expected) problems.push(`${place}: ${aggregateId} goes to version ${version} where ${expected} is next`);
    if (eventId !== `${aggregateId}/${version}`) problems.push(`${place} has the id ${eventId}`);
    versions.set(aggregateId, version);
    const command = `${aggregateId} ${commandId}`;
    const continues = last?.commandId === commandId && last.aggregateId === aggregateId;
    if (!continues && commandsSeen.has(command)) problems.push(`${place}: the command ${command} was decided before`);
    commandsSeen.add(command);
    last = metadata;
  }
  return problems;
}

/** Decides all commands again and compares events, state, position and dead letters. */
function checkPartition(
  domain: DeployedDomain,
  { partition, commands, events, deadLetters, state }: PartitionHistory,
  partitions: number,
  replayed: Map<string, ReadonlyMap<string, CommandOutcome>>,
): readonly string[] {
  const problems: string[] = [];
  const snapshots = new Map<string, Snapshot>();
  const outcomes = new Map<string, Map<string, CommandOutcome>>();
  const expectedEvents: Uint8Array[] = [];
  const expectedDeadLetters: number[] = [];
  const tooLarge = tooLargeIn(deadLetters);
  for (const record of commands) {
    const command = tooLarge.has(record.offset) ? undefined : decodeCommand(domain, record, partitions);
    if (command === undefined) {
      expectedDeadLetters.push(record.offset);
      continue;
    }
    const { aggregateId, commandId } = command.metadata;
    const snapshot = snapshots.get(aggregateId) ?? emptySnapshot(domain.aggregate, aggregateId);
    const decided = decideCommand(domain, snapshot, command, expectedEvents.length);
    if (decided.changed) snapshots.set(aggregateId, snapshot);
    if (decided.changed && decided.outcome !== undefined) {
      const known = outcomes.get(aggregateId) ?? new Map<string, CommandOutcome>();
      outcomes.set(aggregateId, known.set(commandId, fromBinary(CommandOutcomeSchema, decided.outcome)));
    }
    if (decided.poison !== undefined) expectedDeadLetters.push(record.offset);
    expectedEvents.push(...decided.events.map((event) => toBinary(domain.aggregate.eventSchema, event)));
  }
  for (const [aggregateId, known] of outcomes) replayed.set(aggregateId, known);

  if (expectedEvents.length !== events.length)
    problems.push(`partition ${partition} has ${events.length} events, a replay gives ${expectedEvents.length}`);
  expectedEvents.forEach((bytes, index) => {
    const found = events[index];
    if (found === undefined || Buffer.compare(bytesToday(domain, found), bytes) !== 0)
      problems.push(`event ${index + 1} of partition ${partition} differs from a replay's`);
  });
  const found = deadLetters.map((record) => Number(fromBinary(DeadLetterSchema, record.value).offset));
  if (found.join() !== expectedDeadLetters.join())
    problems.push(`partition ${partition} has dead letters of ${found.join()}, not ${expectedDeadLetters.join()}`);

  problems.push(...checkPosition(partition, state.get(positionKey), commands, events));
  for (const key of state.keys())
    if (key !== positionKey && !snapshots.has(pageOfKey(key)?.aggregateId ?? key))
      problems.push(`there is state of ${key}, which nobody commanded`);
  for (const snapshot of snapshots.values()) problems.push(...checkState(domain, snapshot, state, events));
  return problems;
}

/** The offsets of commands that were not decided because the log does not take what they would write. */
export function tooLargeIn(deadLetters: readonly LogRecord[]): ReadonlySet<number> {
  const letters = deadLetters.map(({ value }) => fromBinary(DeadLetterSchema, value));
  return new Set(letters.filter(({ error }) => error.startsWith(TOO_LARGE)).map(({ offset }) => Number(offset)));
}

function checkPosition(partition: number, value: Uint8Array | undefined, commands: readonly LogRecord[], events: readonly LogRecord[]) {
  const position = value === undefined ? undefined : fromBinary(PartitionPositionSchema, value);
  const found = `${position?.nextOffset ?? 0} and ${position?.sequence ?? 0}`;
  const expected = `${(commands.at(-1)?.offset ?? -1) + 1} and ${events.length}`;
  return found === expected ? [] : [`the position of partition ${partition} is ${found}, not ${expected}`];
}

/** The state record is what the replay has, and the fold of the events that are really there. */
function checkState(
  { aggregate, events: reader }: DeployedDomain,
  replay: Snapshot,
  values: ReadonlyMap<string, Uint8Array>,
  events: readonly LogRecord[],
): readonly string[] {
  const { aggregateId } = replay;
  const value = values.get(aggregateId);
  if (value === undefined) return [`there is no state of ${aggregateId}`];
  const record = fromBinary(AggregateSnapshotSchema, value);
  const state = fromBinary(aggregate.stateSchema, record.state);
  const own = events.filter(({ key }) => key === aggregateId).map((event) => reader.read(event.value));
  const folded = own.reduce((before: Message, event) => aggregate.evolve(before, event), aggregate.initial());
  const { recent, pages, range } = replay.outcomes;
  const sameOutcomes =
    record.firstPage === range.firstPage &&
    record.nextPage === range.nextPage &&
    pages.every(({ number, bytes }) => Buffer.compare(values.get(pageKey(aggregateId, number)) ?? new Uint8Array(), bytes) === 0) &&
    record.outcomes.length === recent.length &&
    recent.every((bytes, index) => {
      const found = record.outcomes[index];
      return found !== undefined && equals(CommandOutcomeSchema, found, fromBinary(CommandOutcomeSchema, bytes));
    });
  return [
    ...(equals(aggregate.stateSchema, state, folded) ? [] : [`the state of ${aggregateId} is not the fold of its events`]),
    ...(equals(aggregate.stateSchema, state, replay.state) ? [] : [`the state of ${aggregateId} differs from a replay's`]),
    ...(record.aggregateId === aggregateId ? [] : [`the state of ${aggregateId} is that of ${record.aggregateId}`]),
    ...(record.version === own.length ? [] : [`the state of ${aggregateId} has version ${record.version} after ${own.length} events`]),
    ...(record.sequence === BigInt(replay.sequence)
      ? []
      : [`the state of ${aggregateId} has the sequence ${record.sequence}, not ${replay.sequence}`]),
    ...(sameOutcomes ? [] : [`the outcomes of ${aggregateId} differ from a replay's`]),
  ];
}

/** The answer is the replay's outcome, and the events say the same. */
function checkAnswer(
  { aggregateId, outcome }: Answer,
  replayed: ReadonlyMap<string, ReadonlyMap<string, CommandOutcome>>,
  events: readonly EventMetadata[],
): readonly string[] {
  const name = `the answer to ${aggregateId} ${outcome.commandId}`;
  const decided = replayed.get(aggregateId)?.get(outcome.commandId);
  if (outcome.rejection?.reason === TOO_MANY_OUTCOMES) return [];
  if (decided === undefined) return [`${name} has no decision`];
  if (outcome.rejection?.reason === runtimeReasons.commandIdReused) {
    return Buffer.compare(outcome.fingerprint, decided.fingerprint) === 0 ? [`${name} is a conflict with itself`] : [];
  }
  if (!equals(CommandOutcomeSchema, outcome, decided)) return [`${name} is not the decision`];
  const caused = events.filter((event) => event.aggregateId === aggregateId && event.commandId === outcome.commandId);
  if (outcome.rejection !== undefined) return caused.length === 0 ? [] : [`${name} is a rejection, but there are events of it`];
  const last = caused.at(-1);
  if (last !== undefined && (last.version !== outcome.version || last.sequence !== outcome.sequence))
    return [`${name} has another version than its events`];
  return [];
}

/** What is written today is compared byte by byte; what older code wrote, by what it means today. */
function bytesToday({ aggregate, events }: DeployedDomain, { value }: LogRecord): Uint8Array {
  const event = events.read(value);
  return asWritten(event) === event ? value : toBinary(aggregate.eventSchema, event);
}

function metadataOf({ events }: DeployedDomain, record: LogRecord): EventMetadata | undefined {
  return events.read(record.value).metadata;
}

function decodeCommand({ commands: { record } }: DeployedDomain, { key, partition, value }: LogRecord, partitions: number) {
  try {
    const { metadata, command } = fromBinary(record, value);
    const valid = metadata !== undefined && metadata.commandId !== "" && metadata.aggregateId === key && !key.startsWith("_");
    return valid && partitionOf(key, partitions) === partition ? { metadata: metadata satisfies CommandMetadata, command } : undefined;
  } catch {
    return undefined;
  }
}

async function readAll(log: Log, topic: string, partition: number): Promise<readonly LogRecord[]> {
  const end = (await log.ends(topic))[partition] ?? 0;
  if (end === 0) return [];
  const records: LogRecord[] = [];
  const controller = new AbortController();
  for await (const batch of await log.tail({ topic, partition, from: 0, signal: controller.signal })) {
    records.push(...batch);
    if ((batch.at(-1)?.offset ?? 0) >= end - 1) controller.abort();
  }
  return records;
}
