/**
 * The write side's heart: decides the commands of the partitions it owns, in slices of one transaction each (P1, P2, P3). While one slice is
 * committed, the next is decided on top of it. Crash-only: after any failure it forgets everything; the log knows what was committed.
 */

import type { Clock } from "../clock.ts";
import type { DeployedDomain } from "../domain.ts";
import { FencedError, type Log, type LogRefusedError, type Owner, type Poll } from "../log.ts";
import { untilAborted } from "../until-aborted.ts";
import { createBackoff } from "./backoff.ts";
import { SliceLimit } from "./slice-limit.ts";
import { createSlices, type SliceFailure } from "./slices.ts";

/** How long a poll waits in the log before it comes back to look at the signal. */
const POLL_WAIT_MS = 5_000;

/** What a poll brings at most: commands are small, and one that is large is decided with few others. */
const POLL_BYTES = 4 * 1024 * 1024;

/** What a command handler works with. */
export interface CommandHandlerOptions {
  readonly log: Log;
  readonly domain: DeployedDomain;
  readonly clock: Clock;
  /** The consumer group of all handlers of the domain. */
  readonly group: string;
  /** A stable name of this instance: one that comes back under it replaces its predecessor. */
  readonly instance: string;
  /** Stops it after the slice at hand. */
  readonly signal: AbortSignal;
  /**
   * Told again and again, every few seconds at least, while it is a member of its group and gets on:
   * nothing is to be decided, or what was decided last has been committed.
   */
  readonly onProgress?: () => void;
  /** Told why nothing of a transaction was written. Its commands are decided again, after their state has been read again. */
  readonly onFailed?: (error: SliceFailure) => void;
  /**
   * Told which partitions wait for a newer handler, and why: at first, and whenever that changes. A
   * command or a state of a newer version is not decided on: its partition waits until a newer
   * handler has it, and all others go on.
   */
  readonly onWaiting?: (waiting: ReadonlyMap<number, string>) => void;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {FencedError} another handler has joined under this instance's name: this one must end
 * @throws {LogRefusedError} the log refuses what is written, and will refuse it again
 * @throws {LogUnavailableError} the log failed; start again when it is back
 * @throws {Error} a record of the state topic cannot be read: the partition must not be decided without it
 */
export async function runCommandHandler(options: CommandHandlerOptions): Promise<void> {
  const { log, domain, group, instance } = options;
  const { commands, state } = domain.topics;
  await using owner = await log.own({ group, instance, topic: commands.name, stateTopic: state.name });
  await decideWhileMember(options, owner);
}

/** Decides until the signal aborts. A transaction that fails is forgotten with everything that led to it and that was decided after it. */
async function decideWhileMember(options: CommandHandlerOptions, owner: Owner): Promise<void> {
  const { log, domain, onFailed, onProgress, onWaiting } = options;
  const refused = new AbortController();
  const signal = AbortSignal.any([options.signal, refused.signal]);
  const onRefused = (error: LogRefusedError): void => refused.abort(error);
  const limit = new SliceLimit();
  const backoff = createBackoff(options);
  let slices = createSlices({ log, domain, owner, limit, onRefused, onWaiting });
  let polling: Promise<Poll> | undefined;
  /** Whether the poll under way began before everything was forgotten: its records are from before, and there may be others. */
  let isOld = false;
  while (!signal.aborted) {
    const committing = slices.commit();
    if (slices.room() > 0) polling ??= owner.poll({ maxRecords: slices.room(), maxBytes: POLL_BYTES, waitMs: POLL_WAIT_MS });
    const event = await untilAborted(Promise.race([polling, committing].filter((promise) => promise !== undefined)), signal);
    if (event === undefined) break;
    let failure: SliceFailure | undefined;
    if ("generation" in event) {
      polling = undefined;
      const poll = isOld ? { ...event, records: [] } : event;
      const isIdle = committing === undefined && !isOld && poll.records.length + poll.gained.length + poll.lost.length === 0;
      isOld = false;
      if (isIdle) backoff.reset();
      failure = await slices.decide(poll);
      if (event.generation > 0 && failure === undefined && !backoff.isNeeded) onProgress?.();
    } else {
      failure = event.failure;
      if (failure === undefined) backoff.reset();
    }
    if (failure === undefined) continue;
    onFailed?.(failure);
    slices = createSlices({ log, domain, owner, limit, onRefused, onWaiting });
    owner.reset();
    isOld = polling !== undefined;
    if (failure instanceof FencedError) await untilAborted(backoff.wait(), signal);
  }
  await slices.commit();
  refused.signal.throwIfAborted();
}
