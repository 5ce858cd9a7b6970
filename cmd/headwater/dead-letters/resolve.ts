import { userInfo } from "node:os";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { Log } from "../../../internal/cqrs/log.ts";
import { type DeadLetterResolutionSchema, DeadLetterSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { flagOnly, text } from "../../../internal/platform/config.ts";
import { orderTopics } from "../domain.ts";
import type { Letter } from "./letters.ts";

/** Who does it; it is recorded. */
export const actorOption = { actor: flagOnly(text("who does it, for the record", userName())) };

/** In a container, the user may have no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown";
  }
}

/** Records beside a letter what was done about it. */
export async function resolve(
  log: Log,
  { id, content }: Letter,
  done: Pick<MessageInitShape<typeof DeadLetterResolutionSchema>, "action" | "actor" | "reason" | "commandId">,
): Promise<void> {
  const { topic, partition, offset, key, error } = content;
  const resolution = { ...done, letterId: id, resolvedAt: timestampNow() };
  const value = toBinary(DeadLetterSchema, create(DeadLetterSchema, { topic, partition, offset, key, error, resolution }));
  await log.append([{ topic: orderTopics.deadLetters.name, partition, key, value }]);
}
