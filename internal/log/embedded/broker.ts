/**
 * The embedded log's broker: answers the requests of all clients over one store. All writes that wait when it turns to the store share one
 * durable transaction, so one fsync acknowledges many (P1). Whether a writer still owns its partitions is decided inside it (P3).
 */

import type { Clock } from "../../cqrs/clock.ts";
import { FencedError, type LogRecord, LogUnavailableError, type NewRecord, type Topic } from "../../cqrs/log.ts";
import type { PortRequest } from "../../platform/port-rpc.ts";
import { Groups, type Member } from "./groups.ts";
import { type BrokerMethods, type LivePush, placeOf, type TransactArgument } from "./protocol.ts";
import type { Scans } from "./scans.ts";
import type { LogStore, ReadLimits } from "./store.ts";

/** One client of the broker: a thread. */
export interface BrokerClient {
  push(message: LivePush): void;
  /** Topics and partitions that it listens to. */
  readonly listens: Set<string>;
  readonly members: Set<number>;
  readonly scans: Scans;
}

type Request = PortRequest<BrokerMethods>;
type Write = Extract<Request, { method: "append" | "transact" }>;

/** A call that waits for records. */
interface LongPoll {
  readonly client: BrokerClient;
  /** Answers if there is something to say, and tells whether it did. */
  readonly attempt: () => boolean;
  readonly expire: () => void;
  cancelExpiry: () => void;
}

interface LongCall {
  readonly request: Request;
  readonly client: BrokerClient;
  /** Answers if there is something to say, or if it is the last chance, and tells whether it did. */
  readonly attempt: (final: boolean) => boolean;
  readonly waitMs: number;
  readonly member?: Member;
}

/** What one `read` returns at most. */
const READ_LIMITS: ReadLimits = { maxRecords: 1_000, maxBytes: 4 * 1024 * 1024 };

/** How long the "days" of a topic's retention are. */
const RETENTION_DAYS_MS = 7 * 24 * 60 * 60 * 1000;

/** Old records are deleted so many at a time, so often: fast enough to keep up, too few to stall a writer. */
const TRIM_RECORDS = 500;
const TRIM_EVERY_MS = 1_000;

export class Broker {
  readonly #store: LogStore;
  readonly #clock: Clock;
  readonly #groups: Groups;
  readonly #clients = new Set<BrokerClient>();
  readonly #waiting = new Set<LongPoll>();
  readonly #topics: readonly Topic[];
  #writes: Write[] = [];
  #live: NewRecord[] = [];
  #scheduled = false;
  #cancelTrim: () => void;

  constructor(store: LogStore, topics: readonly Topic[], clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#groups = new Groups(store.partitions);
    this.#topics = topics;
    this.#cancelTrim = this.#scheduleTrim();
  }

  connect(client: BrokerClient): void {
    this.#clients.add(client);
  }

  /** A client that went away leaves its groups. */
  disconnect(client: BrokerClient): void {
    this.#clients.delete(client);
    for (const poll of this.#waiting) {
      if (poll.client !== client) continue;
      poll.cancelExpiry();
      this.#waiting.delete(poll);
    }
    for (const member of client.members) this.#groups.leave(member);
    this.#wake();
  }

  close(): void {
    this.#cancelTrim();
    for (const poll of this.#waiting) poll.expire();
    this.#commit();
    this.#store.close();
  }

  handle(request: Request, client: BrokerClient): void {
    try {
      this.#dispatch(request, client);
    } catch (error) {
      request.fail(error);
    }
  }

  #dispatch(request: Request, client: BrokerClient): void {
    switch (request.method) {
      case "append":
        this.#enqueue(request, request.argument);
        return;
      case "transact":
        this.#enqueue(request, request.argument.records);
        return;
      case "poll":
        this.#poll(request, client);
        return;
      case "read":
        this.#longRead(request, client);
        return;
      case "load":
        request.answer(this.#store.latest(request.argument.topic, request.argument.partition, request.argument.keys));
        return;
      case "join": {
        const { group, topic, instance } = request.argument;
        const member = this.#groups.join(group, topic, instance);
        client.members.add(member.id);
        request.answer(member.id);
        this.#wake();
        return;
      }
      case "leave":
        client.members.delete(request.argument);
        this.#groups.leave(request.argument);
        request.answer(null);
        this.#wake();
        return;
      case "reset":
        this.#groups.reset(this.#groups.member(request.argument));
        request.answer(null);
        this.#wake();
        return;
      case "listen":
        client.listens.add(placeOf(request.argument.topic, request.argument.partition));
        request.answer(null);
        return;
      case "ends":
        request.answer(this.#store.topic(request.argument).ends);
        return;
      case "begins":
        request.answer(this.#store.begins(request.argument));
        return;
      case "members":
        request.answer(this.#groups.members(request.argument));
        return;
      case "scan":
        request.answer(client.scans.begin(this.#store.all(request.argument.topic, request.argument.partition)));
        return;
      case "scanned":
        request.answer(client.scans.page(request.argument));
        return;
      case "endScan":
        client.scans.end(request.argument);
        request.answer(null);
        return;
      case "committed":
        request.answer(this.#store.committed(request.argument.group, request.argument.topic));
        return;
      case "describe":
        request.answer({
          id: this.#store.id,
          partitions: this.#store.partitions,
          topicIds: this.#store.topicIds(),
          liveTopics: this.#topicsWith("live"),
        });
        return;
      case "release":
        for (const poll of this.#waiting) if (poll.client === client) poll.expire();
        request.answer(null);
        return;
    }
  }

  #poll(request: Extract<Request, { method: "poll" }>, client: BrokerClient): void {
    const { maxRecords, maxBytes, waitMs, seeks } = request.argument;
    const member = this.#groups.member(request.argument.member);
    for (const [partition, offset] of seeks) if (this.#groups.owns(member, partition)) member.positions.set(partition, offset);
    const attempt = (final: boolean): boolean => {
      const changed = this.#groups.hasChanges(member);
      const records = changed ? [] : this.#take(member, { maxRecords, maxBytes });
      if (!final && !changed && records.length === 0) return false;
      request.answer({ ...this.#groups.changes(member), records });
      return true;
    };
    this.#await({ request, client, attempt, waitMs, member });
  }

  /** The next records of the partitions that a member has positioned, in turn, so that none starves. */
  #take(member: Member, { maxRecords, maxBytes }: ReadLimits): LogRecord[] {
    const records: LogRecord[] = [];
    let bytes = 0;
    const { ends } = this.#store.topic(member.topic);
    for (const [partition, position] of Array.from(member.positions)) {
      if (records.length >= maxRecords || bytes >= maxBytes) break;
      if (position === ends[partition]) continue;
      const limits = { maxRecords: maxRecords - records.length, maxBytes: maxBytes - bytes, atLeastOne: records.length === 0 };
      const found = this.#store.read(member.topic, partition, position, limits);
      const last = found.records.at(-1);
      if (last === undefined) continue;
      // Re-inserting puts the partition last in the map's order.
      member.positions.delete(partition);
      member.positions.set(partition, last.offset + 1);
      records.push(...found.records);
      bytes += found.bytes;
    }
    return records;
  }

  #longRead(request: Extract<Request, { method: "read" }>, client: BrokerClient): void {
    const { topic, partition, from, waitMs } = request.argument;
    const attempt = (final: boolean): boolean => {
      const { records } = this.#store.read(topic, partition, from, READ_LIMITS);
      if (!final && records.length === 0) return false;
      request.answer(records);
      return true;
    };
    this.#await({ request, client, attempt, waitMs });
  }

  #await({ request, client, attempt, waitMs, member }: LongCall): void {
    const guarded = (final: boolean): boolean => {
      try {
        if (member !== undefined) this.#groups.member(member.id);
        return attempt(final);
      } catch (error) {
        request.fail(error);
        return true;
      }
    };
    if (guarded(false)) return;
    const poll: LongPoll = {
      client,
      attempt: () => guarded(false),
      expire: () => {
        this.#waiting.delete(poll);
        poll.cancelExpiry();
        guarded(true);
      },
      cancelExpiry: () => undefined,
    };
    poll.cancelExpiry = this.#clock.after(waitMs, poll.expire);
    this.#waiting.add(poll);
  }

  #wake(): void {
    for (const poll of this.#waiting) {
      if (!poll.attempt()) continue;
      this.#waiting.delete(poll);
      poll.cancelExpiry();
    }
  }

  /** An immediate runs behind all messages that have arrived: they share the transaction. */
  #enqueue(write: Write, records: readonly NewRecord[]): void {
    for (const record of records) this.#store.check(record);
    this.#writes.push(write);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#commit());
  }

  #commit(): void {
    this.#scheduled = false;
    const writes = this.#writes;
    this.#writes = [];
    if (writes.length === 0) return;
    const answers: (() => void)[] = [];
    this.#live = [];
    try {
      if (writes.every((write) => this.#isLive(write))) for (const write of writes) answers.push(this.#write(write));
      else this.#store.transaction(() => writes.forEach((write) => answers.push(this.#write(write))));
    } catch (error) {
      const unavailable = new LogUnavailableError(
        `the embedded log cannot write: ${error instanceof Error ? error.message : String(error)}`,
      );
      for (const write of writes) write.fail(unavailable);
      return;
    }
    this.#pushLive();
    for (const answer of answers) answer();
    this.#wake();
  }

  #isLive(write: Write): boolean {
    return write.method === "append" && write.argument.every((record) => this.#store.topic(record.topic).retention === "live");
  }

  /** Writes within the transaction, and returns how to answer once it is durable. A fenced writer writes nothing and harms nobody else. */
  #write(write: Write): () => void {
    const nowMs = this.#clock.now();
    if (write.method === "append") {
      const offsets = write.argument.map((record) => this.#append(record, nowMs));
      return () => write.answer(offsets);
    }
    const fenced = this.#fenced(write.argument);
    if (fenced !== undefined) return () => write.fail(fenced);
    for (const record of write.argument.records) this.#append(record, nowMs);
    const member = this.#groups.member(write.argument.member);
    for (const [partition, next] of write.argument.consumed) this.#store.commitOffset(member.group, member.topic, partition, next);
    return () => write.answer(null);
  }

  #fenced({ member: memberId, consumed, generation }: TransactArgument): FencedError | undefined {
    try {
      const member = this.#groups.member(memberId);
      const foreign = consumed.filter(([partition]) => !this.#groups.owns(member, partition)).map(([partition]) => partition);
      if (foreign.length === 0 && (generation ?? member.generation) === member.generation) return undefined;
      if (foreign.length === 0) return new FencedError(`the partitions of ${member.topic} have been dealt anew`);
      return new FencedError(`partition ${foreign.join(", ")} of ${member.topic} has passed to another member of ${member.group}`);
    } catch (error) {
      if (error instanceof FencedError) return error;
      throw error;
    }
  }

  #append(record: NewRecord, nowMs: number): number {
    if (this.#store.topic(record.topic).retention === "live") this.#live.push(record);
    return this.#store.append(record, nowMs);
  }

  #pushLive(): void {
    const timestampMs = this.#clock.now();
    const byPlace = Map.groupBy(this.#live, (record) => placeOf(record.topic, record.partition));
    for (const [place, records] of byPlace) {
      const message: LivePush = {
        place,
        records: records.map(({ partition, key, value }) => ({
          partition,
          offset: -1,
          key,
          value: value ?? new Uint8Array(),
          timestampMs,
        })),
      };
      for (const client of this.#clients) if (client.listens.has(place)) client.push(message);
    }
  }

  #topicsWith(retention: Topic["retention"]): readonly string[] {
    return this.#topics.filter((topic) => topic.retention === retention).map((topic) => topic.name);
  }

  #trimmed(topic: string, partition: number, olderThanMs: number): boolean {
    try {
      return this.#store.trim(topic, partition, olderThanMs, TRIM_RECORDS) > 0;
    } catch {
      // A full disk, say. Appends report it to somebody who can act; old records can wait.
      return false;
    }
  }

  #scheduleTrim(): () => void {
    return this.#clock.after(TRIM_EVERY_MS, () => {
      const olderThanMs = this.#clock.now() - RETENTION_DAYS_MS;
      for (const topic of this.#topicsWith("days")) {
        for (let partition = 0; partition < this.#store.partitions; partition += 1) {
          if (this.#trimmed(topic, partition, olderThanMs)) break;
        }
      }
      this.#cancelTrim = this.#scheduleTrim();
    });
  }
}
