/** The idempotency key of a call's metadata, which stands in for the id of its command. */

import { createHash } from "node:crypto";
import type { DescMethod } from "@bufbuild/protobuf";
import type { Call } from "../grpc/call.ts";
import { invalidArgument, type StatusError } from "../grpc/errors.ts";

const HEADER = "idempotency-key";

/** Of characters, as the request's own strings are bounded. */
const MAX_LENGTH = 255;

/** What version 5 of UUIDs hashes names together with: a random UUID of this project. It is state: keys would become other commands. */
const NAMESPACE = Buffer.from("6f0e0a5a4d1b4c1e9b7e2f3c8a915d47", "hex");

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The command id that a call's metadata gives: its idempotency key if that is a UUID, otherwise one
 * made of the key and the method, so that a retry gives it again. Undefined: it has no key.
 *
 * @throws {StatusError} INVALID_ARGUMENT
 */
export function commandIdOfKey(call: Pick<Call, "header">, { name, parent }: DescMethod): string | undefined {
  const key = call.header(HEADER);
  if (key === undefined) return undefined;
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(key) || key.length > MAX_LENGTH) {
    throw invalidKey(`must have 1 to ${MAX_LENGTH} printable ASCII characters`);
  }
  return UUID.test(key) ? key.toLowerCase() : uuidOf(`${parent.typeName}/${name}\n${key}`);
}

/** Refuses a key where a call has many commands. @throws {StatusError} INVALID_ARGUMENT */
export function refuseKey(call: Pick<Call, "header">): void {
  if (call.header(HEADER) === undefined) return;
  throw invalidKey("stands for one command, and a stream has many; give each command_id in its options");
}

/** RFC 9562, version 5. */
function uuidOf(name: string): string {
  const hash = createHash("sha1").update(NAMESPACE).update(name).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function invalidKey(description: string): StatusError {
  return invalidArgument([{ field: HEADER, description, reason: "INVALID_IDEMPOTENCY_KEY" }]);
}
