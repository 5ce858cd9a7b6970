/**
 * What one command does to one snapshot (P2): a remembered command id gets its first outcome, the same id with other facts is a conflict,
 * everything else is decided once and remembered.
 */

import { create, fromBinary, type Message } from "@bufbuild/protobuf";
import { type Rejection, RejectionSchema } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { type EventMetadata, EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { type CommandMetadata, type CommandOutcome, CommandOutcomeSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import { isRejected, type Rejected, reject } from "../aggregate.ts";
import type { Domain } from "../domain.ts";
import { encode } from "../encode.ts";
import { timestampToMs } from "../time.ts";
import { MAX_OUTCOMES } from "./outcomes.ts";
import type { Snapshot } from "./snapshots.ts";

/** The reasons that the runtime itself gives for a rejection; a domain's closed set must contain them. */
export const runtimeReasons = {
  versionMismatch: "VERSION_MISMATCH",
  commandIdReused: "COMMAND_ID_REUSED",
  notDecodable: "COMMAND_NOT_DECODABLE",
  tooLarge: "COMMAND_TOO_LARGE",
} as const;

/** The reason of a refusal that is no decision: nothing was remembered, and the same command may come again later. */
export const TOO_MANY_OUTCOMES = "TOO_MANY_OUTCOMES";

/** In the metadata of that refusal: after how many milliseconds the aggregate has room again. */
export const RETRY_AFTER_MS = "retry_after_ms";

/** What became of one command. */
export interface Decided {
  /** The answer, as bytes; absent for an inquiry after a command that was never decided. */
  readonly outcome?: Uint8Array;
  /** New events, complete. */
  readonly events: readonly Message[];
  /** Whether the snapshot changed and must be written. */
  readonly changed: boolean;
  /** Why the command could not be decided at all, if so: it belongs to the dead letters. */
  readonly poison?: string;
}

/** Decides a command, or an inquiry if there is none, and changes the snapshot accordingly. New events follow `lastSequence`. */
export function decideCommand(
  domain: Pick<Domain, "aggregate" | "events">,
  snapshot: Snapshot,
  { metadata, command }: { readonly metadata: CommandMetadata; readonly command: Message | undefined },
  lastSequence: number,
): Decided {
  const { outcomes } = snapshot;
  const known = outcomes.find(metadata.commandId);
  if (known !== undefined) {
    const { fingerprint } = fromBinary(CommandOutcomeSchema, known);
    // An inquiry may not know the facts. One after a command whose answer was lost does, and must get what the command would.
    const isAnyFacts = command === undefined && metadata.fingerprint.length === 0;
    const isSame = isAnyFacts || sameBytes(fingerprint, metadata.fingerprint);
    return { ...unchanged, outcome: isSame ? known : encode(CommandOutcomeSchema, outcomeOf(snapshot, metadata, reused)) };
  }
  if (command === undefined) return unchanged;
  const acceptedMs = metadata.acceptedAt === undefined ? 0 : timestampToMs(metadata.acceptedAt);
  outcomes.forgetOld(acceptedMs);
  if (outcomes.isFull)
    return { ...unchanged, outcome: encode(CommandOutcomeSchema, outcomeOf(snapshot, metadata, full(snapshot, acceptedMs))) };
  const { events, state, rejected, poison } = decide(domain, snapshot, metadata, command, lastSequence);
  if (events.length > 0) {
    snapshot.version += events.length;
    snapshot.sequence = lastSequence + events.length;
    snapshot.state = state;
  }
  const outcome = outcomes.add(outcomeOf(snapshot, metadata, rejected));
  return { outcome, events, changed: true, ...(poison === undefined ? {} : { poison }) };
}

/** The answer to a command that was accepted for another stream of events. */
export function foreignOutcome(metadata: CommandMetadata): Uint8Array {
  const message = "the command was accepted for events that are no longer there; an operator finds it among the dead letters";
  return undecided(metadata, runtimeReasons.notDecodable, message);
}

/** The answer to a command of which the events or the state are larger than the log takes. */
export function tooLargeOutcome(metadata: CommandMetadata): Uint8Array {
  const message = "what the command would write is larger than the log takes; an operator finds it among the dead letters";
  return undecided(metadata, runtimeReasons.tooLarge, message);
}

/** It is not remembered: sent again, the command is decided. */
function undecided({ commandId, fingerprint }: CommandMetadata, reason: string, message: string): Uint8Array {
  const rejection = create(RejectionSchema, { reason, message });
  return encode(CommandOutcomeSchema, create(CommandOutcomeSchema, { commandId, fingerprint, rejection }));
}

const unchanged = { events: [], changed: false } as const satisfies Decided;

const reused = reject(runtimeReasons.commandIdReused, "this command_id was used before for a command with other facts; choose a new one");

function full({ outcomes }: Snapshot, nowMs: number): Rejected {
  const message = `it has had ${MAX_OUTCOMES} commands, as many as are remembered; send the command again when older ones are forgotten`;
  return reject(TOO_MANY_OUTCOMES, message, { [RETRY_AFTER_MS]: String(outcomes.fullForMs(nowMs)) });
}

interface Verdict {
  readonly events: readonly Message[];
  /** The state after the events. */
  readonly state: Message;
  readonly rejected?: Rejected;
  readonly poison?: string;
}

/** Leaves the snapshot as it is: code that fails half way through has changed nothing. */
function decide(
  { aggregate, events: { schemaVersion } }: Pick<Domain, "aggregate" | "events">,
  snapshot: Snapshot,
  metadata: CommandMetadata,
  command: Message,
  lastSequence: number,
): Verdict {
  const refused = (rejected: Rejected): Verdict => ({ events: [], state: snapshot.state, rejected });
  const { aggregateId, version } = snapshot;
  const { commandId, expectedVersion } = metadata;
  if (expectedVersion !== undefined && expectedVersion !== version) {
    const message = `expected version ${expectedVersion}, but it is ${version}; read it again and decide anew`;
    return refused(reject(runtimeReasons.versionMismatch, message, { expected_version: String(expectedVersion) }));
  }
  const occurred = metadata.occurredAt ?? metadata.acceptedAt;
  try {
    const occurredAt = occurred === undefined ? new Date(0) : new Date(timestampToMs(occurred));
    const decision = aggregate.decide(snapshot.state, command, { aggregateId, commandId, occurredAt });
    if (isRejected(decision)) return refused(decision);
    const events: Message[] = [];
    let state = snapshot.state;
    for (const facts of decision) {
      const place = { version: version + events.length + 1, sequence: lastSequence + events.length + 1 };
      const happened = aggregate.happen(state, facts, eventMetadata(metadata, aggregateId, place, schemaVersion));
      state = happened.state;
      events.push(happened.event);
    }
    return { events, state };
  } catch (error) {
    const message = "the command could not be decided; an operator finds it among the dead letters";
    return { ...refused(reject(runtimeReasons.notDecodable, message)), poison: error instanceof Error ? error.message : String(error) };
  }
}

/** These two are made without `create`, which takes as long as the decision. */
function outcomeOf(snapshot: Snapshot, metadata: CommandMetadata, rejected: Rejected | undefined): CommandOutcome {
  const outcome: CommandOutcome = {
    $typeName: CommandOutcomeSchema.typeName,
    commandId: metadata.commandId,
    fingerprint: metadata.fingerprint,
    version: snapshot.version,
    sequence: BigInt(snapshot.sequence),
  };
  if (metadata.acceptedAt !== undefined) outcome.acceptedAt = metadata.acceptedAt;
  if (rejected !== undefined) outcome.rejection = rejectionOf(rejected, snapshot.version);
  return outcome;
}

function eventMetadata(
  command: CommandMetadata,
  aggregateId: string,
  { version, sequence }: { readonly version: number; readonly sequence: number },
  schemaVersion: number,
): EventMetadata {
  const metadata: EventMetadata = {
    $typeName: EventMetadataSchema.typeName,
    eventId: `${aggregateId}/${version}`,
    aggregateId,
    version,
    sequence: BigInt(sequence),
    commandId: command.commandId,
    actor: command.actor,
    correlationId: command.correlationId,
    causationId: command.causationId,
    schemaVersion,
  };
  if (command.occurredAt !== undefined) metadata.occurredAt = command.occurredAt;
  if (command.acceptedAt !== undefined) metadata.recordedAt = command.acceptedAt;
  return metadata;
}

function rejectionOf({ reason, message, metadata }: Rejected, version: number): Rejection {
  return create(RejectionSchema, { reason, message, metadata: { ...metadata, current_version: String(version) } });
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
