/**
 * The log port: what the runtime needs of Kafka, or of anything that stands in for it. Promises kept here: P1 (an append that resolved is
 * durable), P3 (one writer per partition; a former owner is fenced) and the atomicity that P2 and P6 rest on.
 *
 * Offsets count the records of one topic and partition; they rise, but need not be gapless. Offsets are exact integers below 2^53.
 */

/** How long a topic's records are needed. The names of topics are state: renaming one abandons its records. */
export type Retention =
  /** For ever: an event store. */
  | "forever"
  /** The latest record of each key: state. It is read with {@link Owner.load} and {@link Log.latest} only. */
  | "latest"
  /** Until they have been handled, and some days more for people to look at. */
  | "days"
  /** Only for those who listen right now: notifications. They may be lost, and are never read from the past. */
  | "live";

/** A topic of the log. All topics of a log have the same number of partitions. */
export interface Topic {
  readonly name: string;
  readonly retention: Retention;
}

/** What a record may have: its key, its value and its headers together, in bytes as they are stored. */
export const MAX_RECORD_BYTES = 2 * 1024 * 1024;

/** A record to append. It has {@link MAX_RECORD_BYTES} at most. */
export interface NewRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  /** The encoded message; null deletes the key in a topic with retention "latest" and is refused elsewhere. */
  readonly value: Uint8Array | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A committed record. */
export interface LogRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it was appended, in milliseconds since 1970. */
  readonly timestampMs: number;
}

/** What an adapter guarantees where adapters differ; the contract suite holds each to its own word. */
export interface LogGuarantees {
  /** Appended records survive the end of the process. */
  readonly durable: boolean;
  /** Offsets of a partition follow each other without a gap. */
  readonly gaplessOffsets: boolean;
}

/** The log: topics of partitions of records. */
export interface Log extends AsyncDisposable {
  /** Identifies this log among all logs, for ever: tokens name it. */
  readonly id: string;
  readonly partitions: number;
  /**
   * Identifies a topic among all topics of all logs, forever: a topic that is deleted and created
   * again under its name gets another id. A stream of events is named by the id of its topic, and
   * every stored position says which stream it counts.
   *
   * @throws {TypeError} the log was opened without the topic
   */
  topicId(topic: string): string;
  readonly guarantees: LogGuarantees;

  /**
   * Appends records, in order per partition, and resolves with their offsets when they are durable. Not a transaction: if it rejects, any
   * part may have been written, and where a server fails some may be written twice. For records of "live" and "latest" topics the offset
   * is -1. Records that the log refuses harm no other append.
   *
   * @throws {RecordsTooLargeError} a record has more than {@link MAX_RECORD_BYTES}, or than its topic takes
   * @throws {LogRefusedError} the log refuses them
   * @throws {LogUnavailableError} the log cannot be reached or cannot take more now
   */
  append(records: readonly NewRecord[]): Promise<readonly number[]>;

  /**
   * Joins a consumer group that shares a topic's partitions among its members. Each partition belongs to one member at a time, except
   * that a former owner may not know yet that it lost one.
   */
  consume(options: ConsumeOptions): Promise<Consumer>;

  /** Joins a group whose members also write, each for its partitions, with exactly-once effect. */
  own(options: OwnOptions): Promise<Owner>;

  /**
   * Reads a partition's committed records from an offset on, without a group, and goes on as new ones come, until the signal aborts or `to`
   * is reached. From "end" it starts behind the last record there was when it returned.
   */
  tail(options: TailOptions): Promise<AsyncIterable<readonly LogRecord[]>>;

  /** The offset behind the last committed record, and behind what follows it and is no record, per partition. */
  ends(topic: string): Promise<readonly number[]>;

  /** The offset of the first record that is still there, per partition; the end where there is none. */
  begins(topic: string): Promise<readonly number[]>;

  /**
   * The offset of the next record that a group of owners will consume, per partition: what `transact` last recorded, 0 at first. It
   * may come a moment after `transact` has resolved; whoever takes a partition over goes by the state instead.
   */
  committed(group: string, topic: string): Promise<readonly number[]>;

  /** The members of a group, as the group knows them now: none while it deals its partitions anew. */
  members(group: string): Promise<readonly GroupMember[]>;

  /**
   * What a partition of a topic with retention "latest" holds when this is first asked for more, once through: all of it, or certain keys
   * only. Of a key that comes several times, the last value is the one that it has then. What is written meanwhile is not in it, and on a
   * broker that just then removes the values that were overwritten, a key that was may be missed.
   */
  latest(topic: string, partition: number, keys?: readonly string[]): AsyncIterable<readonly LatestValue[]>;
}

/** A member of a group. */
export interface GroupMember {
  readonly instance: string;
  /** Its share, ascending. */
  readonly partitions: readonly number[];
}

/** A key and its value; null: the key was deleted. */
export interface LatestValue {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** Which group to join, and as whom. */
export interface ConsumeOptions {
  /** The group's name. It is state: renaming it starts a new group. */
  readonly group: string;
  readonly topic: string;
  /** A stable name of this instance. A member that joins with the name of another replaces it. */
  readonly instance: string;
}

/** Which group of owners to join, and where their state is. */
export interface OwnOptions extends ConsumeOptions {
  /** The topic with retention "latest" that holds the owner's state. */
  readonly stateTopic: string;
}

/** What to read, and from where. */
export interface TailOptions {
  readonly topic: string;
  readonly partition: number;
  readonly from: number | "end";
  /** Ends before the record with this offset, whether or not there is one yet, such as at what `ends` said. Absent: never. */
  readonly to?: number;
  readonly signal: AbortSignal;
}

/** What a consumer got. */
export interface Poll {
  /** The group's generation: it rises whenever the assignment changes. */
  readonly generation: number;
  /** Partitions that became this member's since the last poll. */
  readonly gained: readonly number[];
  /** Partitions that are no longer this member's since the last poll. What was held for them must be forgotten. */
  readonly lost: readonly number[];
  /** Committed records, in order per partition. */
  readonly records: readonly LogRecord[];
}

/** How much a poll takes, and how long it waits. */
export interface PollOptions {
  readonly maxRecords: number;
  /**
   * Bounds the records together: their keys, values and headers, in bytes as they are stored. A
   * single record is returned however large it is.
   */
  readonly maxBytes: number;
  readonly waitMs: number;
}

/** A member of a group. */
export interface Consumer extends AsyncDisposable {
  /**
   * Waits until there are records or the assignment changes, at most `waitMs`, and returns at most
   * `maxRecords` of them and at most `maxBytes`. Each record is returned once, unless `seek` goes back.
   *
   * @throws {FencedError} this member was replaced or has left: join again
   * @throws {LogUnavailableError}
   */
  poll(options: PollOptions): Promise<Poll>;

  /**
   * Forgets what was reported: the next poll, or the one that waits, reports all partitions of this member as gained, as if it had just
   * joined.
   */
  reset(): void;

  /** Sets the offset of the next record to return. A gained partition returns no records before it has been positioned so. */
  seek(partition: number, offset: number): void;
}

/** A member of a group that writes for its partitions. */
export interface Owner extends Consumer {
  /**
   * The latest committed values of keys of the state topic. For a partition that `poll` reported as gained (and not as lost since), they
   * include everything that any former owner committed or will ever commit, and what was appended to the state topic before. What others
   * append to it while this owner holds the partition may be missed: then only the owner writes there.
   */
  load(partition: number, keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;

  /**
   * Appends records to any topics in one transaction together with the offsets consumed: all of it or nothing, durable when it resolves.
   * At least one partition must have been consumed: it is what a former owner is fenced by.
   *
   * @throws {FencedError} a partition in `consumed` is no longer this member's, or not in the generation it knows; nothing was written.
   *   Forget all state, `reset`, and poll on. The same where the log failed before the commit
   * @throws {RecordsTooLargeError} the log does not take these records together; nothing was written. As above: go on with fewer
   * @throws {LogRefusedError} the log refuses them, however many; nothing was written
   * @throws {LogUnavailableError} the outcome is unknown: discard this owner and join again
   */
  transact(options: {
    readonly records: readonly NewRecord[];
    /** Per partition of the consumed topic, the offset of the next record to consume. */
    readonly consumed: ReadonlyMap<number, number>;
    /**
     * The generation of the poll that this rests on: any later one that another poll has returned fences it. Needed by whoever polls while he
     * prepares a transaction. Absent: the generation of the last poll.
     */
    readonly generation?: number;
  }): Promise<void>;

  /** The name under which this owner writes; it goes into the position record of each partition. */
  readonly writer: string;
}

/** The caller lost a partition or was replaced. What it tried to write was not written. */
export class FencedError extends Error {
  override readonly name = "FencedError";
}

/**
 * The log refuses what it is asked for, and will refuse it again: the caller lacks a permission, or
 * a topic has other settings than it needs. The message names the cause and the fix.
 */
export class LogRefusedError extends Error {
  override readonly name: string = "LogRefusedError";
}

/**
 * The records are too large to be written together. Fewer of them may fit. One that is refused alone
 * never fits.
 */
export class RecordsTooLargeError extends LogRefusedError {
  override readonly name = "RecordsTooLargeError";
}

/**
 * Records that were to be read next are gone: deleted by retention or by hand. To go on behind
 * them would be a silent gap.
 */
export class RecordsGoneError extends Error {
  override readonly name = "RecordsGoneError";
}

/** The log cannot be reached or does not answer. */
export class LogUnavailableError extends Error {
  override readonly name = "LogUnavailableError";
}
