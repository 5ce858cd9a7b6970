/**
 * The slices of a command handler: what is decided goes into the open one, which becomes one transaction as soon as the former is committed.
 * So a decision may rest on a slice that is not committed yet; if that one is fenced, everything here is thrown away.
 */

import { create } from "@bufbuild/protobuf";
import { type CommandMetadata, type CommandReply, CommandReplySchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import { DeadLetterSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import type { DeployedDomain } from "../domain.ts";
import { encode } from "../encode.ts";
import { createEventHeaders } from "../event/event-headers.ts";
import { traceHeadersOf } from "../event/trace-context.ts";
import {
  FencedError,
  type Log,
  type LogRecord,
  LogRefusedError,
  MAX_RECORD_BYTES,
  type NewRecord,
  type Owner,
  type Poll,
  RecordsTooLargeError,
} from "../log.ts";
import { partitionOf } from "../partition.ts";
import { NewerStateError } from "../state-upcasting.ts";
import { decideCommand, foreignOutcome, tooLargeOutcome } from "./decide-command.ts";
import { type ReadCommand, readCommand } from "./read-command.ts";
import type { CommandPlace, SliceLimit } from "./slice-limit.ts";
import { createSnapshots, type Snapshot, type Snapshots } from "./snapshots.ts";
import { encodePosition, POSITION_KEY, type Position, type TakeOverOptions, takeOver } from "./take-over.ts";

/** What a dead letter takes of a command, so that it fits into a record itself. A longer one stays where it was. */
const MAX_LETTER_BYTES = MAX_RECORD_BYTES - 64 * 1024;

/** Why nothing of a slice was written: everything must be forgotten, and decided again. */
export type SliceFailure = FencedError | RecordsTooLargeError;

/**
 * How many bytes one transaction writes, about: events, states, outcomes and dead letters. Orders can
 * be a megabyte each, and two slices are in memory at a time. What does not fit is given back to the
 * log, and polled again for the next slice.
 */
const SLICE_BYTES = 8 * 1024 * 1024;

/** How many commands are decoded, and their aggregates loaded, at once: enough to make a loading cheap per command. */
const LOADED_COMMANDS = 64;

/** What aggregates that are loaded at once take, if they are as large as the largest of those before. */
const LOADED_BYTES = 8 * 1024 * 1024;

/** What became of a slice: committed, unless it failed. */
export interface Commit {
  readonly failure?: SliceFailure;
}

/** The slices of one owner, from one assignment of partitions on. */
export interface Slices {
  /** How many more commands the open slice takes. */
  room(): number;
  /** Decides what a poll brought into the open slice; an error says that all slices must be forgotten, since the partitions were dealt anew. */
  decide(poll: Poll): Promise<SliceFailure | undefined>;
  /**
   * The commit under way; if there is none, the open slice's is begun, unless it is empty. Replies go out with it.
   *
   * @throws {LogRefusedError} the log refuses it, and will refuse it again
   * @throws {LogUnavailableError} nobody knows whether it was committed
   */
  commit(): Promise<Commit> | undefined;
}

/** Everything that one transaction writes, while it is put together. */
interface Slice {
  readonly records: NewRecord[];
  readonly replies: NewRecord[];
  /** The partitions that commands were taken from. */
  readonly partitions: Set<number>;
  /** By id. */
  readonly changed: Map<string, Changed>;
  commands: number;
  last: CommandPlace | undefined;
  /** About what it writes. */
  bytes: number;
}

interface Changed {
  readonly partition: number;
  readonly snapshot: Snapshot;
}

/** What slices are made of. */
export interface SlicesOptions {
  readonly log: Pick<Log, "append"> & TakeOverOptions["log"];
  readonly domain: DeployedDomain;
  readonly owner: Owner;
  /** Outlives the slices: it learns from those that fail. */
  readonly limit: SliceLimit;
  /** Told that the log refuses replies, and will refuse them again. */
  readonly onRefused: (error: LogRefusedError) => void;
  /** Told which partitions wait for a newer handler, and why: at first, and whenever that changes. */
  readonly onWaiting?: ((waiting: ReadonlyMap<number, string>) => void) | undefined;
}

/** Creates slices that know nothing yet: the next poll has to report every partition as gained. */
export function createSlices({ log, domain, owner, limit, onRefused, onWaiting }: SlicesOptions): Slices {
  const { topics, aggregate } = domain;
  const stream = log.topicId(topics.events.name);
  const source = { domain, stream, partitions: log.partitions };
  const snapshots: Snapshots = createSnapshots(domain, stream);
  const headersOf = createEventHeaders(domain);
  const positions = new Map<number, Position>();
  /** Partitions that newer code has written to, and what: nothing more is decided in them here. */
  const waiting = new Map<number, string>();
  /** Of the last poll: what it gave rise to is fenced by it. */
  let generation = 0;
  let open = emptySlice();
  /** The largest of the aggregates that were loaded last. */
  let largestBytes = 0;
  let underWay: { readonly slice: Slice; readonly commit: Promise<Commit> } | undefined;
  onWaiting?.(waiting);

  return {
    room: () => (isFull() ? 0 : limit.commands - open.commands),
    async decide(poll) {
      if (poll.gained.length + poll.lost.length > 0) {
        // What is taken over begins behind what is committed.
        const { failure } = (await underWay?.commit) ?? {};
        if (failure !== undefined) return failure;
        if (open.commands > 0) return new FencedError("the partitions were dealt anew while commands were decided");
        for (const partition of poll.lost) {
          positions.delete(partition);
          snapshots.forget(partition);
          if (waiting.delete(partition)) onWaiting?.(waiting);
        }
        for (const [partition, position] of await takeOver({ log, domain, owner }, poll.gained)) {
          positions.set(partition, position);
          owner.seek(partition, position.nextOffset);
        }
      }
      generation = poll.generation;
      for (const [partition, records] of Map.groupBy(poll.records, (record) => record.partition)) await decidePartition(partition, records);
      return undefined;
    },
    commit() {
      if (underWay === undefined && open.commands > 0) {
        const slice = open;
        open = emptySlice();
        underWay = { slice, commit: transact(slice) };
        // Whoever waits for it hears of it.
        underWay.commit.catch(() => undefined);
      }
      return underWay?.commit;
    },
  };

  async function transact(slice: Slice): Promise<Commit> {
    const consumed = new Map<number, number>();
    for (const { partition, snapshot } of slice.changed.values()) {
      slice.records.push(...snapshots.records(partition, snapshot));
    }
    for (const partition of slice.partitions) {
      const position = positionOf(partition);
      const value = encodePosition(position, log, domain, owner.writer);
      slice.records.push({ topic: topics.state.name, partition, key: POSITION_KEY, value });
      consumed.set(partition, position.nextOffset);
    }
    try {
      await owner.transact({ records: slice.records, consumed, generation });
    } catch (error) {
      if (error instanceof FencedError) return { failure: error };
      if (!(error instanceof RecordsTooLargeError) || slice.last === undefined) throw error;
      limit.refused(slice.commands, slice.last, error);
      return { failure: error };
    }
    limit.committed();
    underWay = undefined;
    // Notifications: who misses one asks again. An outage shows in the next transaction; a refusal of replies alone shows nowhere else.
    if (slice.replies.length > 0) {
      log.append(slice.replies).catch((error: unknown) => {
        if (error instanceof LogRefusedError) onRefused(error);
      });
    }
    return {};
  }

  function positionOf(partition: number): Position {
    const position = positions.get(partition);
    if (position === undefined) throw new Error(`records of partition ${partition} came before it was taken over`);
    return position;
  }

  /** A command always fits, however large, if it is alone. */
  function isFull(): boolean {
    return open.commands >= limit.commands || (open.commands > 0 && open.bytes >= SLICE_BYTES);
  }

  async function decidePartition(partition: number, records: readonly LogRecord[]): Promise<void> {
    const position = positionOf(partition);
    const due = records.filter((record) => record.offset >= position.nextOffset);
    for (let from = 0; from < due.length && !waiting.has(partition); ) {
      if (isFull()) {
        // The rest is polled again.
        owner.seek(partition, position.nextOffset);
        return;
      }
      const count = Math.max(1, Math.min(LOADED_COMMANDS, Math.floor(LOADED_BYTES / Math.max(1, largestBytes))));
      from += await decideSome(partition, position, due.slice(from, from + count));
    }
  }

  /** Decides until the slice is full, or what is next waits for a newer handler. Returns how many it decided. */
  async function decideSome(partition: number, position: Position, records: readonly LogRecord[]): Promise<number> {
    const read = records.map((record) => ({ record, command: readCommand(source, record) }));
    const newest = read.findIndex(({ command }) => typeof command !== "string" && command.newer !== undefined);
    const due = newest === -1 ? read : read.slice(0, newest);
    const loaded = await load(partition, due);
    if (loaded === undefined) return 0;
    let decided = 0;
    for (const { record, command } of due) {
      if (isFull()) return decided;
      if (typeof command === "string") addDeadLetter(open, record, command);
      else if (command.foreign !== undefined)
        giveUp(open, record, command, { outcome: foreignOutcome(command.metadata), reason: command.foreign });
      else if (limit.isTooLarge(record)) giveUp(open, record, command, { outcome: tooLargeOutcome(command.metadata), reason: TOO_LARGE });
      else decideRecord(open, position, record, command, loaded);
      position.nextOffset = record.offset + 1;
      position.lastCommandMs = record.timestampMs;
      open.partitions.add(partition);
      open.commands += 1;
      open.last = record;
      decided += 1;
    }
    const newer = read[newest];
    if (typeof newer?.command === "object")
      wait(partition, `the command at offset ${newer.record.offset} is of a newer version: ${newer.command.newer}`);
    return decided;
  }

  /** The snapshots of what may be decided; undefined: the partition has to wait. */
  async function load(
    partition: number,
    due: readonly { readonly record: LogRecord; readonly command: ReadCommand | string }[],
  ): Promise<ReadonlyMap<string, Snapshot> | undefined> {
    // A bad record's key may be anything, also that of the position: only what is known to be an aggregate is loaded.
    const ids = new Set(due.flatMap(({ record, command }) => (typeof command === "string" ? [] : [record.key])));
    const uncommitted = (id: string) => (open.changed.get(id) ?? underWay?.slice.changed.get(id))?.snapshot;
    try {
      const loaded = await snapshots.load(owner, partition, [...ids], uncommitted);
      largestBytes = loaded.values().reduce((largest, { bytes }) => Math.max(largest, bytes), 0);
      return loaded;
    } catch (error) {
      if (!(error instanceof NewerStateError)) throw error;
      wait(partition, error.message);
      return undefined;
    }
  }

  /** Until the partition is another member's: what newer code has written, this code would damage. */
  function wait(partition: number, reason: string): void {
    waiting.set(partition, reason);
    onWaiting?.(waiting);
  }

  /** What is not decided at all leaves its aggregate as it is. */
  function giveUp(slice: Slice, record: LogRecord, { metadata, command }: ReadCommand, { outcome, reason }: GivenUp): void {
    // An inquiry has nothing that could get lost.
    if (command !== undefined) addDeadLetter(slice, record, reason);
    slice.replies.push(reply(metadata, outcome, record.partition));
  }

  function addDeadLetter(slice: Slice, record: LogRecord, error: string): void {
    slice.records.push(deadLetter(domain, record, error));
    slice.bytes += record.value.length;
  }

  function decideRecord(
    slice: Slice,
    position: Position,
    record: LogRecord,
    command: ReadCommand,
    loaded: ReadonlyMap<string, Snapshot>,
  ): void {
    const { key, partition } = record;
    const snapshot = loaded.get(key);
    if (snapshot === undefined) throw new Error(`the snapshot of ${key} was not loaded`);
    const decided = decideCommand(domain, snapshot, command, position.sequence);
    position.sequence += decided.events.length;
    if (decided.poison !== undefined) addDeadLetter(slice, record, decided.poison);
    const trace = traceHeadersOf((name) => record.headers?.[name]);
    for (const event of decided.events) {
      const value = encode(aggregate.eventSchema, event);
      slice.records.push({ topic: topics.events.name, partition, key, value, headers: headersOf(event, trace) });
      // The state grows with what its events say.
      slice.bytes += 2 * value.length;
    }
    if (decided.changed && !slice.changed.has(key)) {
      slice.changed.set(key, { partition, snapshot });
      slice.bytes += snapshot.bytes;
    }
    slice.replies.push(reply(command.metadata, decided.outcome, partition));
  }

  function reply(metadata: CommandMetadata, outcome: Uint8Array | undefined, partition: number): NewRecord {
    const value: CommandReply = {
      $typeName: CommandReplySchema.typeName,
      requestId: metadata.requestId,
      replyTo: metadata.replyTo,
      aggregateId: metadata.aggregateId,
      partition,
    };
    return {
      topic: topics.replies.name,
      partition: partitionOf(metadata.replyTo, log.partitions),
      key: metadata.replyTo,
      value: encode(CommandReplySchema, value, {
        field: CommandReplySchema.field.outcome,
        messages: outcome === undefined ? [] : [outcome],
      }),
    };
  }
}

const TOO_LARGE = "what the command would write is larger than the log takes";

/** Why a command is not decided: for its caller, and for an operator. */
interface GivenUp {
  readonly outcome: Uint8Array;
  readonly reason: string;
}

function emptySlice(): Slice {
  return { records: [], replies: [], partitions: new Set(), changed: new Map(), commands: 0, last: undefined, bytes: 0 };
}

function deadLetter({ topics }: DeployedDomain, record: LogRecord, reason: string): NewRecord {
  const fits = record.value.length <= MAX_LETTER_BYTES;
  const value = create(DeadLetterSchema, {
    topic: topics.commands.name,
    partition: record.partition,
    offset: BigInt(record.offset),
    key: record.key,
    value: fits ? record.value : new Uint8Array(),
    error: fits ? reason : `${reason}; its ${record.value.length} bytes do not fit here`,
  });
  return { topic: topics.deadLetters.name, partition: record.partition, key: record.key, value: encode(DeadLetterSchema, value) };
}
