import type { Call } from "../grpc/call.ts";
import { invalidArgument } from "../grpc/errors.ts";

/** The header with the caller's name for the history. A claim, until identities are checked. */
const ACTOR_HEADER = "headwater-actor";

/** Of characters. It is part of every event. */
const MAX_ACTOR_LENGTH = 128;

/**
 * Who sends a command, by the caller's word. Headers are ASCII, so a name beyond that is percent-
 * encoded UTF-8, as gRPC encodes its messages.
 *
 * @throws {StatusError} INVALID_ARGUMENT: a name that cannot be kept as it is
 */
export function actorOf(call: Pick<Call, "header">): string {
  const header = call.header(ACTOR_HEADER) ?? "";
  if (header === "") return "anonymous";
  const actor = decoded(header);
  if (actor === undefined) throw invalid("must be ASCII or percent-encoded UTF-8, such as Ren%C3%A9e, with %25 for a percent sign");
  if (/\p{Cc}/u.test(actor)) throw invalid("must not have control characters");
  if (Array.from(actor).length > MAX_ACTOR_LENGTH) throw invalid(`must have at most ${MAX_ACTOR_LENGTH} characters`);
  return actor;
}

function decoded(header: string): string | undefined {
  try {
    return decodeURIComponent(header);
  } catch {
    return undefined;
  }
}

function invalid(description: string) {
  return invalidArgument([{ field: ACTOR_HEADER, description, reason: "INVALID_ACTOR" }]);
}
