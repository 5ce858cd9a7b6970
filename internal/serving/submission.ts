/** A command's RPC request as the runtime takes it: identified, stamped with the aggregate it belongs to, and separated from its options. */

import { create, type Message } from "@bufbuild/protobuf";
import type { Submission } from "../cqrs/command/command-gateway.ts";
import type { Domain } from "../cqrs/domain.ts";
import { encode } from "../cqrs/encode.ts";
import type { TraceHeaders } from "../cqrs/event/trace-context.ts";
import { timestampToMs } from "../cqrs/time.ts";
import type { CommandOptions } from "../gen/headwater/cqrs/v1/command_pb.ts";

/** A command of a domain, as its RPC takes it: which member of the command message it is, and the request. */
export interface AnyCommand {
  readonly case: string;
  readonly value: Message & { readonly options?: CommandOptions | undefined };
}

/** What a submission is made with. */
export interface SubmissionSource {
  /** Makes a new UUID. */
  readonly newId: () => string;
  /** Hashes bytes; at most 32 bytes of a cryptographic hash. */
  readonly hash: (bytes: Uint8Array) => Uint8Array;
  /** Who sends it. */
  readonly actor: string;
  /** The trace context that it came with, if any. */
  readonly trace?: TraceHeaders | undefined;
}

/** The id of the aggregate that a command names; empty if it names none. */
export function aggregateIdIn({ commands }: Pick<Domain, "commands">, { value }: AnyCommand): string {
  const id = (value as unknown as Readonly<Record<string, unknown>>)[commands.aggregateId];
  return typeof id === "string" ? id : "";
}

/** An aggregate that is created without an id gets the id of its command, so that a retry names the same one. */
export function submissionOf(
  domain: Pick<Domain, "aggregate" | "commands">,
  given: AnyCommand,
  { newId, hash, actor, trace }: SubmissionSource,
): Submission {
  const options: Partial<CommandOptions> = given.value.options ?? {};
  const commandId = options.commandId ? options.commandId.toLowerCase() : newId();
  const aggregateId = aggregateIdIn(domain, given) || commandId;
  const { options: _, ...facts } = { ...given.value, [domain.commands.aggregateId]: aggregateId };
  const { commandSchema } = domain.aggregate;
  const command = encode(commandSchema, create(commandSchema, { command: { case: given.case, value: facts } }));
  return {
    aggregateId,
    commandId,
    command,
    fingerprint: fingerprintOf(command, options.expectedVersion, hash),
    ...(options.expectedVersion === undefined ? {} : { expectedVersion: options.expectedVersion }),
    ...(options.occurredAt === undefined ? {} : { occurredAtMs: timestampToMs(options.occurredAt) }),
    actor,
    correlationId: options.correlationId || commandId,
    causationId: options.causationId ?? "",
    ...(trace === undefined ? {} : { trace }),
  };
}

/** Half a SHA-256 keeps accidents away; a caller who seeks collisions of his own commands harms only himself. */
const FINGERPRINT_BYTES = 16;

function fingerprintOf(command: Uint8Array, expectedVersion: number | undefined, hash: SubmissionSource["hash"]): Uint8Array {
  const hashed = new Uint8Array(command.length + 4);
  hashed.set(command);
  new DataView(hashed.buffer).setInt32(command.length, expectedVersion ?? -1);
  return hash(hashed).slice(0, FINGERPRINT_BYTES);
}
