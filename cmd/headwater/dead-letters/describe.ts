import { timestampToMs } from "../../../internal/cqrs/time.ts";
import { DeadLetterAction, type DeadLetterResolution } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderTopics } from "../domain.ts";
import { decode } from "../log/decode.ts";
import type { Letter } from "./letters.ts";

/** A letter, for people and scripts. */
export interface DescribedLetter {
  readonly id: string;
  readonly state: "open" | "retried" | "skipped";
  readonly foundAt: string;
  readonly key: string;
  /** Such as "placeOrder"; "?" if it cannot be decoded. */
  readonly command: string;
  readonly error: string;
  /** Where the command is, or was. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly resolution?: DescribedResolution;
}

interface DescribedResolution {
  readonly actor: string;
  readonly at: string;
  readonly reason: string;
  /** The id under which it was sent again. */
  readonly commandId?: string;
}

export function describeLetter({ id, foundAtMs, content, resolution }: Letter): DescribedLetter {
  const { key, error, topic, partition, offset, value } = content;
  const decoded = decode(orderTopics.commands.name, { key, value });
  return {
    id,
    state: resolution === undefined ? "open" : resolution.action === DeadLetterAction.RETRIED ? "retried" : "skipped",
    foundAt: new Date(foundAtMs).toISOString(),
    key,
    command: "error" in decoded ? "?" : decoded.type,
    error,
    topic,
    partition,
    offset: Number(offset),
    ...(resolution === undefined ? {} : { resolution: describeResolution(resolution) }),
  };
}

function describeResolution({ actor, resolvedAt, reason, commandId }: DeadLetterResolution): DescribedResolution {
  const at = resolvedAt === undefined ? "" : new Date(timestampToMs(resolvedAt)).toISOString();
  return { actor, at, reason, ...(commandId === "" ? {} : { commandId }) };
}
