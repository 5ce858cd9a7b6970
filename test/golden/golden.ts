import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type DescMessage, fromBinary, fromJson, type JsonObject, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import {
  AggregateSnapshotSchema,
  DeadLetterSchema,
  OutcomePageSchema,
  PartitionPositionSchema,
} from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderCommandSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { type OrderEvent, OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStateSchema } from "../../internal/gen/headwater/orders/v1/order_state_pb.ts";
import { orderStates } from "../../internal/orders/domain/order-states.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import { orderDomain } from "../support/order-domain.ts";
import { filled } from "./filled.ts";

/** The bytes of a message as a log may hold them, and what they say. The bytes are never changed: logs are kept for ever. */
export interface Golden {
  readonly bytes: string;
  readonly message: JsonObject;
  /** What an upcaster makes of it. Absent: it means what it meant. */
  readonly today?: JsonObject;
}

/** Messages that are versioned together. */
export interface Family {
  /** Below this folder. */
  readonly name: "events" | "commands" | "states" | "runtime";
  /** The version that is written today. */
  readonly schemaVersion: number;
  /** What to raise when the messages change. */
  readonly raise: string;
  readonly kinds: readonly Kind[];
}

/** A message that is recorded. */
export interface Kind {
  readonly name: string;
  readonly schema: DescMessage;
  /** With every field set, as today's code writes it. */
  readonly written: () => JsonObject;
  /** What a message of a version means today. Absent: what it says. */
  readonly today?: (bytes: Uint8Array, version: number) => Message;
}

/** The events of the contract, by their names in the .proto. */
const events: Family = {
  name: "events",
  schemaVersion: orderEvents.schemaVersion,
  raise: "schemaVersion in internal/orders/order-events.ts",
  kinds: OrderEventSchema.oneofs.flatMap(({ fields }) =>
    fields.map(({ name, localName }) => ({
      name,
      schema: OrderEventSchema,
      written: () => withVersion(filled(OrderEventSchema, localName), orderEvents.schemaVersion),
      today(bytes) {
        const event: OrderEvent = fromBinary(OrderEventSchema, bytes);
        // Its version is what it was written in.
        return { ...orderEvents.upcast(event), metadata: event.metadata };
      },
    })),
  ),
};

/** The commands of the contract, as a record has them: without options, which the metadata tells. */
const commands: Family = {
  name: "commands",
  schemaVersion: orderDomain.commands.schemaVersion,
  raise: "COMMAND_SCHEMA_VERSION in internal/orders/orders.ts",
  kinds: OrderCommandSchema.fields.map(({ name, jsonName, localName }) => ({
    name,
    schema: OrderCommandRecordSchema,
    written() {
      const { options: _, ...facts } = filled(OrderCommandSchema, localName)[jsonName] as JsonObject;
      return withVersion({ ...filled(OrderCommandRecordSchema), command: { [jsonName]: facts } }, orderDomain.commands.schemaVersion);
    },
  })),
};

const states: Family = {
  name: "states",
  schemaVersion: orderStates.schemaVersion,
  raise: "schemaVersion in internal/orders/domain/order-states.ts",
  kinds: [{ name: "order_state", schema: OrderStateSchema, written: () => filled(OrderStateSchema), today: orderStates.read }],
};

/** What the runtime keeps itself, of whatever domain. All readers of a newer version must read what the older ones wrote. */
const runtime: Family = {
  name: "runtime",
  schemaVersion: 1,
  raise: "schemaVersion of the runtime's messages in test/golden/golden.ts",
  kinds: Object.entries({
    aggregate_snapshot: AggregateSnapshotSchema,
    outcome_page: OutcomePageSchema,
    partition_position: PartitionPositionSchema,
    dead_letter: DeadLetterSchema,
  } satisfies Record<string, DescMessage>).map(([name, schema]) => ({ name, schema, written: () => filled(schema) })),
};

export const families: readonly Family[] = [events, commands, states, runtime];

/** All files of a family, by kind and schema version: `order_placed.v1.json`. */
export function goldenFiles({ name }: Family): readonly string[] {
  const folder = join(import.meta.dirname, name);
  return existsSync(folder) ? readdirSync(folder).toSorted() : [];
}

export function goldenPath({ name }: Family, kind: Kind, version: number): string {
  return join(import.meta.dirname, name, `${kind.name}.v${version}.json`);
}

/** The recorded message, or undefined where there is none. */
export function readGolden(family: Family, kind: Kind, version: number): Golden | undefined {
  const path = goldenPath(family, kind, version);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Golden) : undefined;
}

/** The versions that a kind is recorded in, the oldest first. */
export function versionsOf(family: Family, { name }: Kind): readonly number[] {
  const files = goldenFiles(family).filter((file) => file.startsWith(`${name}.v`));
  return files.map((file) => Number(file.split(".")[1]?.slice(1))).toSorted((a, b) => a - b);
}

/** What today's code reads from bytes of a version. */
export function goldenOf({ schema, today }: Kind, bytes: string, version: number): Golden {
  const binary = Buffer.from(bytes, "base64");
  const message = jsonOf(schema, fromBinary(schema, binary));
  const means = today === undefined ? message : jsonOf(schema, today(binary, version));
  return isDeepStrictEqual(means, message) ? { bytes, message } : { bytes, message, today: means };
}

/** The bytes of a message as today's code writes it. */
export function encoded({ schema }: Kind, json: JsonObject): string {
  return Buffer.from(toBinary(schema, fromJson(schema, json))).toString("base64");
}

function withVersion(json: JsonObject, schemaVersion: number): JsonObject {
  return { ...json, metadata: { ...(json["metadata"] as JsonObject), schemaVersion } };
}

function jsonOf(schema: DescMessage, message: Message): JsonObject {
  // A message is an object.
  return toJson(schema, message) as JsonObject;
}
