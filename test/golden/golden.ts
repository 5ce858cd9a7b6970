import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { fromBinary, fromJson, type JsonObject, toBinary, toJson } from "@bufbuild/protobuf";
import { type OrderEvent, OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import { filled } from "./filled.ts";

/** The bytes of an event as a log may hold them, and what they say. The bytes are never changed: logs are kept for ever. */
export interface Golden {
  readonly bytes: string;
  readonly event: JsonObject;
  /** What an upcaster makes of it. Absent: it means what it meant. */
  readonly today?: JsonObject;
}

const folder = join(import.meta.dirname, "events");

/** The events of the contract, by their names in the .proto. */
export const eventKinds = OrderEventSchema.oneofs.flatMap(({ fields }) => fields);

/** The schema version that is written today. */
export const { schemaVersion } = orderEvents;

/** All files, by kind and schema version: `order_placed.v1.json`. */
export const goldenFiles: readonly string[] = readdirSync(folder).toSorted();

export function goldenPath(kind: string, version: number): string {
  return join(folder, `${kind}.v${version}.json`);
}

/** The recorded event, or undefined where there is none. */
export function readGolden(kind: string, version: number): Golden | undefined {
  const path = goldenPath(kind, version);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Golden) : undefined;
}

/** The versions that a kind is recorded in, the oldest first. */
export function versionsOf(kind: string): readonly number[] {
  const versions = goldenFiles.filter((file) => file.startsWith(`${kind}.v`)).map((file) => Number(file.split(".")[1]?.slice(1)));
  return versions.toSorted((a, b) => a - b);
}

/** What today's code reads from bytes. */
export function goldenOf(bytes: string): Golden {
  const written = fromBinary(OrderEventSchema, Buffer.from(bytes, "base64"));
  const event = jsonOf(written);
  const today = jsonOf({ ...orderEvents.upcast(written), metadata: written.metadata });
  return isDeepStrictEqual(today, event) ? { bytes, event } : { bytes, event, today };
}

/** The bytes of an event as today's code writes it, with every field set. */
export function writtenToday(member: string): string {
  const event = fromJson(OrderEventSchema, filled(OrderEventSchema, member));
  if (event.metadata !== undefined) event.metadata.schemaVersion = schemaVersion;
  return encoded(event);
}

export function encoded(event: OrderEvent): string {
  return Buffer.from(toBinary(OrderEventSchema, event)).toString("base64");
}

function jsonOf(event: OrderEvent): JsonObject {
  // A message is an object.
  return toJson(OrderEventSchema, event) as JsonObject;
}
