/**
 * The write side's heart: decides the commands of the partitions it owns and writes each slice in one transaction (P1, P2, P3). Crash-only:
 * after any failure it forgets everything; the log knows what was committed.
 */

import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type CommandMetadata, CommandReplySchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { DeadLetterSchema, PartitionPositionSchema } from "../gen/headwater/cqrs/v1/state_pb.ts";
import { type Decided, decideCommand } from "./decide-command.ts";
import type { Domain } from "./domain.ts";
import { createEventHeaders } from "./event-headers.ts";
import { FencedError, type Log, type LogRecord, type NewRecord, type Owner, type Poll } from "./log.ts";
import { partitionOf } from "./partition.ts";
import { createSnapshots, type Snapshot, type Snapshots } from "./snapshots.ts";
import { traceHeadersOf } from "./trace-context.ts";
import { untilAborted } from "./until-aborted.ts";

/** The key of a partition's position in the state topic. No aggregate id begins with an underscore. */
const POSITION_KEY = "__position";

/** How many commands one transaction takes: enough to make its cost small per command, few enough that a retry is short. */
const SLICE_COMMANDS = 500;

/** How long a poll waits in the log before it comes back to look at the signal. */
const POLL_WAIT_MS = 5_000;

/** What a command handler works with. */
export interface CommandHandlerOptions {
  readonly log: Log;
  readonly domain: Domain;
  /** The consumer group of all handlers of the domain. */
  readonly group: string;
  /** A stable name of this instance: one that comes back under it replaces its predecessor. */
  readonly instance: string;
  /** Stops it after the slice at hand. */
  readonly signal: AbortSignal;
  /** Told again and again, every few seconds at least, while it is a member of its group and gets on. */
  readonly onProgress?: () => void;
  /** Told when a transaction was fenced: it goes on with the partitions that it still has, after reading their state again. */
  readonly onFenced?: (error: FencedError) => void;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {FencedError} another handler has joined under this instance's name: this one must end
 * @throws {LogUnavailableError} the log failed; start again when it is back
 * @throws {Error} a record of the state topic cannot be read: the partition must not be decided without it
 */
export async function runCommandHandler(options: CommandHandlerOptions): Promise<void> {
  const { log, domain, group, instance } = options;
  const { commands, state } = domain.topics;
  await using owner = await log.own({ group, instance, topic: commands.name, stateTopic: state.name });
  await decideWhileMember(options, owner);
}

/** Decides until the signal aborts. A transaction that is fenced is forgotten with everything that led to it. */
async function decideWhileMember({ log, domain, signal, onFenced, onProgress }: CommandHandlerOptions, owner: Owner): Promise<void> {
  let slices = createSlices(domain, owner, log.partitions);
  while (!signal.aborted) {
    const poll = await untilAborted(owner.poll({ maxRecords: SLICE_COMMANDS, waitMs: POLL_WAIT_MS }), signal);
    if (poll === undefined) return;
    if (poll.generation > 0) onProgress?.();
    try {
      const replies = await slices.decide(poll);
      // A notification: whoever misses it asks again. The log's failure, if it is one, shows in the next transaction.
      if (replies.length > 0) log.append(replies).catch(() => undefined);
    } catch (error) {
      if (!(error instanceof FencedError)) throw error;
      onFenced?.(error);
      slices = createSlices(domain, owner, log.partitions);
      owner.reset();
    }
  }
}

/** Where a partition stands. */
interface Position {
  nextOffset: number;
  sequence: number;
}

/** Everything that one transaction writes, while it is put together. */
interface Slice {
  readonly records: NewRecord[];
  readonly replies: NewRecord[];
  readonly consumed: Map<number, number>;
}

function createSlices(domain: Domain, owner: Owner, partitions: number) {
  const { topics, aggregate, commandRecordSchema } = domain;
  const snapshots: Snapshots = createSnapshots(aggregate);
  const headersOf = createEventHeaders(domain);
  const positions = new Map<number, Position>();

  return {
    /** Decides and commits what a poll brought, and returns the replies that may go out now. */
    async decide(poll: Poll): Promise<readonly NewRecord[]> {
      for (const partition of poll.lost) {
        positions.delete(partition);
        snapshots.forget(partition);
      }
      await Promise.all(poll.gained.map(takeOver));
      const slice: Slice = { records: [], replies: [], consumed: new Map() };
      for (const [partition, records] of Map.groupBy(poll.records, (record) => record.partition)) {
        await decidePartition(slice, partition, records);
      }
      if (slice.consumed.size > 0) await owner.transact({ records: slice.records, consumed: slice.consumed });
      return slice.replies;
    },
  };

  async function takeOver(partition: number): Promise<void> {
    const [value] = await owner.load(partition, [POSITION_KEY]);
    const position = value === undefined ? undefined : fromBinary(PartitionPositionSchema, value);
    positions.set(partition, { nextOffset: Number(position?.nextOffset ?? 0n), sequence: Number(position?.sequence ?? 0n) });
    owner.seek(partition, Number(position?.nextOffset ?? 0n));
  }

  async function decidePartition(slice: Slice, partition: number, records: readonly LogRecord[]): Promise<void> {
    const position = positions.get(partition);
    if (position === undefined) throw new Error(`records of partition ${partition} came before it was taken over`);
    const due = records.filter((record) => record.offset >= position.nextOffset);
    const last = due.at(-1);
    if (last === undefined) return;
    const decoded = due.map((record) => ({ record, command: decodeCommand(commandRecordSchema, record, partitions) }));
    // A bad record's key may be anything, also that of the position: only what is known to be an aggregate is loaded.
    const ids = new Set(decoded.flatMap(({ record, command }) => (typeof command === "string" ? [] : [record.key])));
    const loaded = await snapshots.load(owner, partition, [...ids]);
    const changed = new Set<Snapshot>();
    for (const { record, command } of decoded) {
      if (typeof command === "string") slice.records.push(deadLetter(domain, record, command));
      else decideRecord(slice, position, record, command, loaded, changed);
    }
    for (const snapshot of changed) {
      slice.records.push({ topic: topics.state.name, partition, key: snapshot.aggregateId, value: snapshots.encode(partition, snapshot) });
    }
    position.nextOffset = last.offset + 1;
    slice.records.push({ topic: topics.state.name, partition, key: POSITION_KEY, value: encodePosition(position, owner.writer) });
    slice.consumed.set(partition, position.nextOffset);
  }

  function decideRecord(
    slice: Slice,
    position: Position,
    record: LogRecord,
    command: DecodedCommand,
    loaded: ReadonlyMap<string, Snapshot>,
    changed: Set<Snapshot>,
  ): void {
    const { key, partition } = record;
    const snapshot = loaded.get(key);
    if (snapshot === undefined) throw new Error(`the snapshot of ${key} was not loaded`);
    const decided = decideCommand(domain, snapshot, command, position.sequence);
    position.sequence += decided.events.length;
    if (decided.poison !== undefined) slice.records.push(deadLetter(domain, record, decided.poison));
    const trace = traceHeadersOf((name) => record.headers?.[name]);
    for (const event of decided.events) {
      const value = toBinary(aggregate.eventSchema, event);
      slice.records.push({ topic: topics.events.name, partition, key, value, headers: headersOf(event, trace) });
    }
    if (decided.changed) changed.add(snapshot);
    slice.replies.push(reply(command.metadata, decided, partition));
  }

  function reply(metadata: CommandMetadata, { outcome }: Decided, partition: number): NewRecord {
    const value = create(CommandReplySchema, {
      requestId: metadata.requestId,
      replyTo: metadata.replyTo,
      aggregateId: metadata.aggregateId,
      partition,
      ...(outcome === undefined ? {} : { outcome }),
    });
    return {
      topic: topics.replies.name,
      partition: partitionOf(metadata.replyTo, partitions),
      key: metadata.replyTo,
      value: toBinary(CommandReplySchema, value),
    };
  }
}

interface DecodedCommand {
  readonly metadata: CommandMetadata;
  /** Absent in an inquiry. */
  readonly command: Message | undefined;
}

/** The command in a record, or why there is none. */
function decodeCommand(schema: Domain["commandRecordSchema"], record: LogRecord, partitions: number): DecodedCommand | string {
  try {
    const { metadata, command } = fromBinary(schema, record.value);
    if (metadata === undefined) return "the record has no metadata";
    if (metadata.aggregateId !== record.key) return `the key is not the id ${JSON.stringify(metadata.aggregateId)} in the metadata`;
    if (metadata.commandId === "") return "the record has no command id";
    if (record.key.startsWith("_")) return "an id cannot begin with an underscore";
    if (partitionOf(record.key, partitions) !== record.partition) return "the record is in a partition that its key does not belong to";
    return { metadata, command };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function deadLetter({ topics }: Domain, record: LogRecord, error: string): NewRecord {
  const value = create(DeadLetterSchema, {
    topic: topics.commands.name,
    partition: record.partition,
    offset: BigInt(record.offset),
    key: record.key,
    value: record.value,
    error,
  });
  return { topic: topics.deadLetters.name, partition: record.partition, key: record.key, value: toBinary(DeadLetterSchema, value) };
}

function encodePosition({ nextOffset, sequence }: Position, writer: string): Uint8Array {
  const position = create(PartitionPositionSchema, { nextOffset: BigInt(nextOffset), sequence: BigInt(sequence), writer });
  return toBinary(PartitionPositionSchema, position);
}
