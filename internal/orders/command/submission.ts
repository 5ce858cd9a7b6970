/** A command's RPC request as the runtime takes it: identified, stamped with the order it belongs to, and separated from its options. */

import { create } from "@bufbuild/protobuf";
import type { Submission } from "../../cqrs/command/command-gateway.ts";
import { encode } from "../../cqrs/encode.ts";
import type { TraceHeaders } from "../../cqrs/event/trace-context.ts";
import type { Member } from "../../cqrs/oneof.ts";
import { timestampToMs } from "../../cqrs/time.ts";
import type { CommandOptions } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { type OrderCommand, OrderCommandSchema } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";

/** One of the commands of an order, as its RPC takes it. */
export type AnyOrderCommand = Member<OrderCommand["command"]>;

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

/** An order that is created without an id gets the id of its command, so that a retry names the same order. */
export function submissionOf({ case: name, value }: AnyOrderCommand, { newId, hash, actor, trace }: SubmissionSource): Submission {
  const options: Partial<CommandOptions> = value.options ?? {};
  const commandId = options.commandId ? options.commandId.toLowerCase() : newId();
  const orderId = value.orderId === "" ? commandId : value.orderId;
  const { options: _, ...facts } = { ...value, orderId };
  const command = encode(OrderCommandSchema, create(OrderCommandSchema, { command: { case: name, value: facts } as AnyOrderCommand }));
  return {
    aggregateId: orderId,
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
