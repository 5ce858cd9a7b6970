/** Sends the command of a dead letter again, so that it is decided once, however often this is done. */

import { toBinary } from "@bufbuild/protobuf";
import { type CommandGateway, OutcomeUnknownError, type Submission } from "../../../internal/cqrs/command/command-gateway.ts";
import { runtimeReasons } from "../../../internal/cqrs/command/decide-command.ts";
import { readCommand } from "../../../internal/cqrs/command/read-command.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { timestampToMs } from "../../../internal/cqrs/time.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { CommandMetadata, CommandOutcome } from "../../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { type OrderCommand, OrderCommandSchema } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { orderDomain, orderTopics } from "../domain.ts";
import { loadSnapshot } from "../orders/snapshot.ts";
import type { Letter } from "./letters.ts";

export interface SentAgain {
  readonly commandId: string;
  /** Absent: it is in the log, and not decided yet. */
  readonly outcome?: CommandOutcome;
}

/** @throws {Error} as {@link commandIn} does; nothing was sent */
export async function sendAgain(log: Log, gateway: CommandGateway, letter: Letter, signal: AbortSignal): Promise<SentAgain> {
  const { key } = letter.content;
  const { metadata, command } = commandIn(letter, log);
  const { commandId, outcome } = attemptOf(metadata, (await loadSnapshot(log, key))?.outcomes ?? []);
  if (outcome !== undefined) return { commandId, outcome };
  const occurredAt = metadata.occurredAt ?? metadata.acceptedAt;
  const submission: Submission = {
    aggregateId: key,
    commandId,
    command: toBinary(OrderCommandSchema, command),
    fingerprint: metadata.fingerprint,
    ...(metadata.expectedVersion === undefined ? {} : { expectedVersion: metadata.expectedVersion }),
    ...(occurredAt === undefined ? {} : { occurredAtMs: timestampToMs(occurredAt) }),
    actor: metadata.actor,
    correlationId: metadata.correlationId,
    causationId: metadata.causationId,
  };
  try {
    const submitted = await gateway.submit(submission, { stage: CommandStage.DECIDED, views: [], signal });
    return submitted.outcome === undefined ? { commandId } : { commandId, outcome: submitted.outcome };
  } catch (error) {
    if (error instanceof OutcomeUnknownError) return { commandId };
    throw error;
  }
}

export function isUndecided({ rejection }: CommandOutcome): boolean {
  return rejection?.reason === runtimeReasons.notDecodable || rejection?.reason === runtimeReasons.tooLarge;
}

/** Wherever it lay, it is sent to the partition that its key belongs to. @throws {Error} it still cannot be read */
export function commandIn(
  { id, content }: Letter,
  log: Pick<Log, "partitions" | "topicId">,
): { readonly metadata: CommandMetadata; readonly command: OrderCommand } {
  const { key, value } = content;
  const { partitions } = log;
  const record = { key, value, partition: partitionOf(key, partitions), offset: Number(content.offset), timestampMs: 0 };
  // One that was accepted for another stream is sent again for this one.
  const read = readCommand({ domain: orderDomain, stream: log.topicId(orderTopics.events.name), partitions }, record);
  const problem =
    typeof read === "string"
      ? read
      : (read.newer ?? (read.command === undefined ? "it asks for an outcome, and commands nothing" : undefined));
  if (typeof read === "string" || read.command === undefined || problem !== undefined) {
    throw new Error(`the dead letter ${id} cannot be sent again: ${problem}; run a version of this program that can read it, or skip it`);
  }
  // The schema of the record says so.
  return { metadata: read.metadata, command: read.command as OrderCommand };
}

/**
 * An id under which a command could not be decided gives that answer forever. So the next attempt
 * needs another id: `…/retry-1`, `…/retry-2`. An id with any other outcome was sent by somebody
 * before, and is not sent again.
 */
export function attemptOf({ commandId }: Pick<CommandMetadata, "commandId">, outcomes: readonly CommandOutcome[]): SentAgain {
  const [, first = commandId, count = "0"] = /^(.*)\/retry-(\d+)$/.exec(commandId) ?? [];
  for (let attempt = Number(count); ; attempt += 1) {
    const id = attempt === 0 ? first : `${first}/retry-${attempt}`;
    const outcome = outcomes.find((candidate) => candidate.commandId === id);
    if (outcome === undefined) return { commandId: id };
    if (!isUndecided(outcome)) return { commandId: id, outcome };
  }
}
