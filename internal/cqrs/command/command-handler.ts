/**
 * The write side's heart: decides the commands of the partitions it owns, in slices of one transaction each (P1, P2, P3). While one slice is
 * committed, the next is decided on top of it. Crash-only: after any failure it forgets everything; the log knows what was committed.
 */

import type { Domain } from "../domain.ts";
import type { FencedError, Log, Owner, Poll } from "../log.ts";
import { untilAborted } from "../until-aborted.ts";
import { createSlices } from "./slices.ts";

/** How long a poll waits in the log before it comes back to look at the signal. */
const POLL_WAIT_MS = 5_000;

/** What a poll brings at most: commands are small, and one that is large is decided with few others. */
const POLL_BYTES = 4 * 1024 * 1024;

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
 * @throws {LogUnavailableError} the log failed; start again when it is back
 * @throws {Error} a record of the state topic cannot be read: the partition must not be decided without it
 */
export async function runCommandHandler(options: CommandHandlerOptions): Promise<void> {
  const { log, domain, group, instance } = options;
  const { commands, state } = domain.topics;
  await using owner = await log.own({ group, instance, topic: commands.name, stateTopic: state.name });
  await decideWhileMember(options, owner);
}

/** Decides until the signal aborts. A transaction that is fenced is forgotten with everything that led to it and that was decided after it. */
async function decideWhileMember(options: CommandHandlerOptions, owner: Owner): Promise<void> {
  const { log, domain, signal, onFenced, onProgress, onWaiting } = options;
  let slices = createSlices({ log, domain, owner, onWaiting });
  let polling: Promise<Poll> | undefined;
  while (!signal.aborted) {
    const committing = slices.commit();
    if (slices.room() > 0) polling ??= owner.poll({ maxRecords: slices.room(), maxBytes: POLL_BYTES, waitMs: POLL_WAIT_MS });
    const event = await untilAborted(Promise.race([polling, committing].filter((promise) => promise !== undefined)), signal);
    if (event === undefined) break;
    let { fenced } = "generation" in event ? { fenced: undefined } : event;
    if ("generation" in event) {
      polling = undefined;
      if (event.generation > 0) onProgress?.();
      fenced = await slices.decide(event);
    }
    if (fenced === undefined) continue;
    onFenced?.(fenced);
    slices = createSlices({ log, domain, owner, onWaiting });
    owner.reset();
    // A poll that is under way may have its records from before.
    polling = polling?.then((poll) => ({ ...poll, records: [] }));
  }
  await slices.commit();
}
