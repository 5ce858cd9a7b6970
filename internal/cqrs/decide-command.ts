/**
 * What one command does to one snapshot (P2): a remembered command id gets its first outcome, the same id with other facts is a conflict,
 * everything else is decided once and remembered.
 */

import { create, type Message } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type CommandMetadata, type CommandOutcome, CommandOutcomeSchema, RejectionSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { EventMetadataSchema } from "../gen/headwater/cqrs/v1/event_pb.ts";
import { type Aggregate, type Decision, isRejected, type Rejected, reject } from "./aggregate.ts";
import { remember, type Snapshot } from "./snapshots.ts";

/** The reasons that the runtime itself gives; a domain's closed set must contain them. */
export const runtimeReasons = {
  versionMismatch: "VERSION_MISMATCH",
  commandIdReused: "COMMAND_ID_REUSED",
  notDecodable: "COMMAND_NOT_DECODABLE",
} as const;

export interface Decided {
  /** The answer; absent for an inquiry after a command that was never decided. */
  readonly outcome?: CommandOutcome;
  /** New events, complete. */
  readonly events: readonly Message[];
  /** Whether the snapshot changed and must be written. */
  readonly changed: boolean;
  /** Why the command could not be decided at all, if so: it belongs to the dead letters. */
  readonly poison?: string;
}

/** The next partition sequence. */
export type NextSequence = () => number;

/** Decides a command, or an inquiry if there is none, and changes the snapshot accordingly. */
export function decideCommand(
  { aggregate, schemaVersion }: { readonly aggregate: Aggregate; readonly schemaVersion: number },
  snapshot: Snapshot,
  { metadata, command }: { readonly metadata: CommandMetadata; readonly command: Message | undefined },
  nextSequence: NextSequence,
): Decided {
  const known = snapshot.outcomes.find((outcome) => outcome.commandId === metadata.commandId);
  if (command === undefined) return known === undefined ? unchanged : { ...unchanged, outcome: known };
  if (known !== undefined) {
    return { ...unchanged, outcome: sameBytes(known.fingerprint, metadata.fingerprint) ? known : outcomeOf(snapshot, metadata, reused) };
  }
  const { decision, poison } = decide(aggregate, snapshot, metadata, command);
  const events: Message[] = [];
  if (!isRejected(decision)) {
    for (const facts of decision) {
      snapshot.version += 1;
      snapshot.sequence = nextSequence();
      const event = aggregate.eventOf(snapshot.state, facts, eventMetadata(snapshot, metadata, schemaVersion));
      snapshot.state = aggregate.evolve(snapshot.state, event);
      events.push(event);
    }
  }
  const outcome = outcomeOf(snapshot, metadata, isRejected(decision) ? decision : undefined);
  remember(snapshot, outcome);
  return { outcome, events, changed: true, ...(poison === undefined ? {} : { poison }) };
}

const unchanged = { events: [], changed: false } as const satisfies Decided;

const reused = reject(runtimeReasons.commandIdReused, "this command_id was used before for a command with other facts; choose a new one");

function decide(aggregate: Aggregate, snapshot: Snapshot, metadata: CommandMetadata, command: Message): { decision: Decision; poison?: string } {
  const { expectedVersion } = metadata;
  if (expectedVersion !== undefined && expectedVersion !== snapshot.version) {
    const message = `expected version ${expectedVersion}, but it is ${snapshot.version}; read it again and decide anew`;
    return { decision: reject(runtimeReasons.versionMismatch, message, { expected_version: String(expectedVersion) }) };
  }
  const occurredAt = metadata.occurredAt ?? metadata.acceptedAt;
  try {
    return {
      decision: aggregate.decide(snapshot.state, command, {
        aggregateId: snapshot.aggregateId,
        commandId: metadata.commandId,
        occurredAt: occurredAt === undefined ? new Date(0) : timestampDate(occurredAt),
      }),
    };
  } catch (error) {
    const poison = error instanceof Error ? error.message : String(error);
    return { decision: reject(runtimeReasons.notDecodable, "the command could not be decided; an operator finds it among the dead letters"), poison };
  }
}

function outcomeOf(snapshot: Snapshot, metadata: CommandMetadata, rejected: Rejected | undefined): CommandOutcome {
  const rejection =
    rejected === undefined
      ? undefined
      : create(RejectionSchema, {
          reason: rejected.reason,
          message: rejected.message,
          metadata: { ...rejected.metadata, current_version: String(snapshot.version) },
        });
  return create(CommandOutcomeSchema, {
    commandId: metadata.commandId,
    fingerprint: metadata.fingerprint,
    version: snapshot.version,
    sequence: BigInt(snapshot.sequence),
    ...(metadata.acceptedAt === undefined ? {} : { acceptedAt: metadata.acceptedAt }),
    ...(rejection === undefined ? {} : { rejection }),
  });
}

function eventMetadata(snapshot: Snapshot, command: CommandMetadata, schemaVersion: number) {
  return create(EventMetadataSchema, {
    eventId: `${snapshot.aggregateId}/${snapshot.version}`,
    aggregateId: snapshot.aggregateId,
    version: snapshot.version,
    sequence: BigInt(snapshot.sequence),
    ...(command.occurredAt === undefined ? {} : { occurredAt: command.occurredAt }),
    ...(command.acceptedAt === undefined ? {} : { recordedAt: command.acceptedAt }),
    commandId: command.commandId,
    actor: command.actor,
    correlationId: command.correlationId,
    causationId: command.causationId,
    schemaVersion,
  });
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
