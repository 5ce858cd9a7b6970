/**
 * The write side's front: makes a command durable and waits for its outcome (P1: what is acknowledged is in the log). The outcome's
 * notification may be lost; an inquiry through the log then fetches the truth, in order with all commands.
 */

import { create, type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import {
  type CommandMetadata,
  CommandMetadataSchema,
  type CommandOutcome,
  type CommandReply,
  CommandReplySchema,
  type ViewProgress,
  ViewProgressSchema,
} from "../../gen/headwater/cqrs/v1/record_pb.ts";
import type { Cancel, Clock } from "../clock.ts";
import type { DeployedDomain } from "../domain.ts";
import { encode } from "../encode.ts";
import type { TraceHeaders } from "../event/trace-context.ts";
import {
  type Log,
  type LogRecord,
  LogRefusedError,
  LogUnavailableError,
  type NewRecord,
  RecordsTooLargeError,
  type TailOptions,
} from "../log.ts";
import { partitionOf } from "../partition.ts";
import { createProgress } from "../progress.ts";
import { untilAborted } from "../until-aborted.ts";

/** How many commands may wait for their outcome at once: each holds a few hundred bytes here and a stream at the caller's. */
const DEFAULT_MAX_IN_FLIGHT = 20_000;

/** A reply normally takes milliseconds. After so long the gateway asks for it through the log. */
const INQUIRE_AFTER_MS = 2_000;

/** Until replies that were lost with a connection are listened to again. */
const LISTEN_AGAIN_MS = 500;

/** A command to submit. */
export interface Submission {
  readonly aggregateId: string;
  readonly commandId: string;
  /** The encoded command, without its options; absent for an inquiry after the outcome of `commandId`. */
  readonly command?: Uint8Array;
  /** Hash of the facts and of what else makes two commands different; empty in an inquiry of somebody who does not know them. */
  readonly fingerprint: Uint8Array;
  readonly expectedVersion?: number;
  /** When it happened, in milliseconds since 1970. */
  readonly occurredAtMs?: number;
  readonly actor: string;
  readonly correlationId: string;
  readonly causationId: string;
  /** The trace context that it came with; its events carry it on. */
  readonly trace?: TraceHeaders;
}

/** How far to wait for a command, and how long. */
export interface Wait {
  readonly stage: CommandStage;
  /** For PROJECTED. */
  readonly views: readonly string[];
  /** Ends the wait, not the command. */
  readonly signal: AbortSignal;
}

/** What is known of a submitted command when the wait is over. */
export interface Submitted {
  readonly partition: number;
  readonly stage: CommandStage;
  /** When the gateway accepted this attempt, in milliseconds since 1970. */
  readonly acceptedAtMs: number;
  /** Absent if the stage is ACCEPTED, or if an inquiry found none. */
  readonly outcome?: CommandOutcome;
  readonly pendingViews: readonly string[];
}

/** Takes commands of any number of callers at once. */
export interface CommandGateway extends AsyncDisposable {
  /**
   * Appends a command and waits for its stage.
   *
   * @throws {OverloadedError} too many commands are waiting; nothing was appended
   * @throws {OutcomeUnknownError} it is durable, but was not decided before the signal aborted
   * @throws {RecordsTooLargeError} it is larger than the log takes
   * @throws {LogRefusedError} the log takes none, see {@link refused}
   * @throws {LogUnavailableError} the log did not take it, or nobody knows whether it did
   */
  submit(submission: Submission, wait: Wait): Promise<Submitted>;

  /**
   * Sends itself a reply through the log: resolves when it has come back, so that commands would be taken and answered.
   *
   * @throws {LogRefusedError} see {@link refused}
   * @throws {LogUnavailableError}
   */
  check(signal: AbortSignal): Promise<void>;

  /**
   * Rejects with a LogRefusedError when the log refuses what the gateway needs for every command: its
   * process must end with the reason. Never resolves. A command that is too large is no such case.
   */
  readonly refused: Promise<never>;
}

/** Too many commands are waiting; nothing was appended, and the same command may come again. */
export class OverloadedError extends Error {
  override readonly name = "OverloadedError";
}

/** The command is accepted and will be decided; only its outcome is not known yet. Asking again with the same command id gives it. */
export class OutcomeUnknownError extends Error {
  override readonly name = "OutcomeUnknownError";
}

/** What a gateway works with. */
export interface CommandGatewayOptions {
  readonly log: Log;
  readonly domain: DeployedDomain;
  readonly clock: Clock;
  /** A name for this instance that no other has: replies are addressed to it. */
  readonly instance: string;
  readonly maxInFlight?: number;
}

interface Waiter {
  readonly metadata: CommandMetadata;
  readonly partition: number;
  readonly resolve: (outcome: CommandOutcome | undefined) => void;
  readonly reject: (error: Error) => void;
  /** Infinite until the command is in the log: an inquiry before it would find nothing. */
  inquireAtMs: number;
}

/** Creates a gateway that listens for the replies to its instance. Disposing of it ends all waits with LogUnavailableError. */
export async function createCommandGateway(options: CommandGatewayOptions): Promise<CommandGateway> {
  const { log, domain, clock, instance } = options;
  const { topics } = domain;
  const stream = log.topicId(topics.events.name);
  const maxInFlight = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
  const waiters = new Map<string, Waiter>();
  const checks = new Map<string, () => void>();
  const progress = createProgress();
  const stopped = new AbortController();
  const refused = Promise.withResolvers<never>();
  // It may come before anybody listens.
  refused.promise.catch(() => undefined);
  let inFlight = 0;
  let attempts = 0;

  const replies = {
    topic: topics.replies.name,
    partition: partitionOf(instance, log.partitions),
    from: "end",
    signal: stopped.signal,
  } as const;
  const listening = [
    await listen(CommandReplySchema, replies, settle),
    await listen(ViewProgressSchema, { ...replies, topic: topics.progress.name, partition: 0 }, note),
  ];
  let cancelInquiries = scheduleInquiries();

  return { submit, check, refused: refused.promise, [Symbol.asyncDispose]: dispose };

  async function submit(submission: Submission, wait: Wait): Promise<Submitted> {
    if (inFlight >= maxInFlight) throw new OverloadedError(`${inFlight} commands are waiting for their outcome`);
    inFlight += 1;
    try {
      const partition = partitionOf(submission.aggregateId, log.partitions);
      const metadata = stamp(submission);
      const acceptedAtMs = clock.now();
      if (wait.stage === CommandStage.ACCEPTED) {
        await appendInTime(metadata, partition, submission, wait.signal);
        return { partition, acceptedAtMs, stage: CommandStage.ACCEPTED, pendingViews: [] };
      }
      const outcome = await decided(metadata, partition, submission, wait.signal);
      if (outcome === undefined) return { partition, acceptedAtMs, stage: CommandStage.DECIDED, pendingViews: [] };
      if (wait.stage !== CommandStage.PROJECTED) return { partition, acceptedAtMs, stage: CommandStage.DECIDED, outcome, pendingViews: [] };
      const place = { stream, partition, sequence: Number(outcome.sequence) };
      const pendingViews = await progress.reached(wait.views, place, wait.signal);
      const stage = pendingViews.length === 0 ? CommandStage.PROJECTED : CommandStage.DECIDED;
      return { partition, acceptedAtMs, stage, outcome, pendingViews };
    } finally {
      inFlight -= 1;
    }
  }

  async function decided(metadata: CommandMetadata, partition: number, submission: Submission, signal: AbortSignal) {
    const outcome = Promise.withResolvers<CommandOutcome | undefined>();
    const giveUp = () => outcome.reject(new OutcomeUnknownError("the command is accepted, but not decided yet"));
    const waiter: Waiter = { metadata, partition, resolve: outcome.resolve, reject: outcome.reject, inquireAtMs: Number.POSITIVE_INFINITY };
    waiters.set(metadata.requestId, waiter);
    signal.addEventListener("abort", giveUp);
    // The append's own failure is thrown below; the waiter may lose the race without anybody listening.
    outcome.promise.catch(() => undefined);
    try {
      await appendInTime(metadata, partition, submission, signal);
      waiter.inquireAtMs = clock.now() + INQUIRE_AFTER_MS;
      if (signal.aborted) giveUp();
      return await outcome.promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
      waiters.delete(metadata.requestId);
    }
  }

  /** Whoever waits is told while he still listens; the log may take the command yet. */
  async function appendInTime(metadata: CommandMetadata, partition: number, submission: Submission, signal: AbortSignal) {
    const appended = append(metadata, partition, submission).then(() => true);
    if (!(await untilAborted(appended, signal))) throw new LogUnavailableError("the log has not confirmed the command in time");
  }

  /** Without a command it is an inquiry. */
  async function append(metadata: CommandMetadata, partition: number, { command, trace }: Pick<Submission, "command" | "trace">) {
    const value = encodeRecord(domain, metadata, command);
    const headers = trace === undefined ? {} : { headers: trace };
    await write({ topic: topics.commands.name, partition, key: metadata.aggregateId, value, ...headers });
  }

  async function write(record: NewRecord): Promise<void> {
    try {
      await log.append([record]);
    } catch (error) {
      noteRefusal(error);
      throw error;
    }
  }

  function noteRefusal(error: unknown): void {
    if (error instanceof LogRefusedError && !(error instanceof RecordsTooLargeError)) refused.reject(error);
  }

  function stamp(submission: Submission): CommandMetadata {
    const nowMs = clock.now();
    attempts += 1;
    return create(CommandMetadataSchema, {
      commandId: submission.commandId,
      aggregateId: submission.aggregateId,
      ...(submission.expectedVersion === undefined ? {} : { expectedVersion: submission.expectedVersion }),
      acceptedAt: timestampFromMs(nowMs),
      occurredAt: timestampFromMs(submission.occurredAtMs ?? nowMs),
      actor: submission.actor,
      correlationId: submission.correlationId,
      causationId: submission.causationId,
      fingerprint: submission.fingerprint,
      replyTo: instance,
      requestId: `${instance}/${attempts}`,
      schemaVersion: domain.commands.schemaVersion,
      stream,
    });
  }

  async function check(signal: AbortSignal): Promise<void> {
    attempts += 1;
    const requestId = `${instance}/${attempts}`;
    const value = encode(CommandReplySchema, create(CommandReplySchema, { requestId, replyTo: instance }));
    const answered = Promise.withResolvers<boolean>();
    checks.set(requestId, () => answered.resolve(true));
    try {
      await write({ topic: topics.replies.name, partition: replies.partition, key: instance, value });
      if (!(await untilAborted(answered.promise, signal))) throw new LogUnavailableError("a reply has not come back in time");
    } finally {
      checks.delete(requestId);
    }
  }

  function settle({ replyTo, requestId, outcome }: CommandReply): void {
    if (replyTo !== instance) return;
    waiters.get(requestId)?.resolve(outcome);
    checks.get(requestId)?.();
  }

  function note({ view, stream: counted, partition, sequence }: ViewProgress): void {
    if (counted !== stream) return;
    progress.note(view, { stream, partition, sequence: Number(sequence) });
  }

  /** Asks again for outcomes whose reply seems to be lost. An inquiry is answered behind its command, so its answer is final. */
  function scheduleInquiries(): Cancel {
    return clock.after(INQUIRE_AFTER_MS / 2, () => {
      const nowMs = clock.now();
      for (const waiter of waiters.values()) {
        if (waiter.inquireAtMs > nowMs) continue;
        waiter.inquireAtMs = nowMs + INQUIRE_AFTER_MS;
        // It asks again, unless the log refuses it: that is noted.
        append(waiter.metadata, waiter.partition, {}).catch(() => undefined);
      }
      cancelInquiries = scheduleInquiries();
    });
  }

  /** Resolves when it listens, with a promise of the end. After a failure it listens anew: what was missed is asked for by inquiries. */
  async function listen<Schema extends DescMessage>(
    schema: Schema,
    source: TailOptions,
    take: (notification: MessageShape<Schema>) => void,
  ) {
    const first = await log.tail(source);
    return { ended: keepListening(first) };

    async function keepListening(opened: AsyncIterable<readonly LogRecord[]> | undefined): Promise<void> {
      for (let records = opened; !stopped.signal.aborted; records = undefined) {
        try {
          await takeAll(records ?? (await log.tail(source)));
        } catch (error) {
          noteRefusal(error);
          const again = Promise.withResolvers<void>();
          clock.after(LISTEN_AGAIN_MS, again.resolve);
          await untilAborted(again.promise, stopped.signal);
        }
      }
    }

    async function takeAll(records: AsyncIterable<readonly LogRecord[]>): Promise<void> {
      for await (const batch of records) {
        for (const { value } of batch) {
          const notification = decode(schema, value);
          if (notification !== undefined) take(notification);
        }
      }
    }
  }

  async function dispose(): Promise<void> {
    cancelInquiries();
    stopped.abort();
    for (const waiter of waiters.values()) waiter.reject(new LogUnavailableError("the command service is stopping"));
    await Promise.all(listening.map(({ ended }) => ended));
  }
}

/** A command record: the command is encoded already, for its fingerprint, so it is put in as it is. */
function encodeRecord(
  { commands: { record: schema } }: DeployedDomain,
  metadata: CommandMetadata,
  command: Uint8Array | undefined,
): Uint8Array {
  const record = encode(schema, create(schema, { metadata }));
  if (command === undefined) return record;
  const field = schema.field["command"];
  if (field === undefined) throw new TypeError(`${schema.typeName} has no field for the command`);
  return new BinaryWriter().raw(record).tag(field.number, WireType.LengthDelimited).bytes(command).finish();
}

/** A notification that cannot be read is as good as lost: it must not end the process of all who wait. */
function decode<Schema extends DescMessage>(schema: Schema, value: Uint8Array): MessageShape<Schema> | undefined {
  try {
    return fromBinary(schema, value);
  } catch {
    return undefined;
  }
}
