import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";

/** The bytes of an event as a log may hold them, and what they mean. The bytes are never changed: logs are kept for ever. */
export interface Golden {
  readonly bytes: string;
  readonly event: JsonValue;
}

/** The events of the contract, by their names in the .proto. */
export const eventKinds = OrderEventSchema.oneofs.flatMap(({ fields }) => fields);

/** The file of an event's first version: `events/order_placed.v1.json`. */
export function goldenPath(kind: string): string {
  return join(import.meta.dirname, "events", `${kind}.v1.json`);
}

/** The recorded event, or undefined where there is none yet. */
export function readGolden(kind: string): Golden | undefined {
  const path = goldenPath(kind);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Golden) : undefined;
}

/** What today's code reads from recorded bytes. */
export function decoded(bytes: string): JsonValue {
  return toJson(OrderEventSchema, fromBinary(OrderEventSchema, Buffer.from(bytes, "base64")));
}
