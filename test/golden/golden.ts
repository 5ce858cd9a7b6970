import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type DescMessage, fromBinary, fromJson, type JsonObject, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import type { Domain } from "../../internal/cqrs/domain.ts";
import type { EventMessage, EventReader } from "../../internal/cqrs/upcasting.ts";
import {
  AggregateSnapshotSchema,
  DeadLetterSchema,
  OutcomePageSchema,
  PartitionPositionSchema,
} from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orders } from "../../internal/orders/orders.ts";
import { tickets } from "../../internal/tickets/tickets.ts";
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
  /** Of the runtime: none. */
  readonly domain: Domain | undefined;
  /** A folder below this one. */
  readonly name: string;
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

/** What is stored of a domain, and what to raise when it changes. */
interface StoredDomain {
  readonly domain: Domain;
  /** Before the names of the families. */
  readonly folder: "" | "tickets/";
  readonly raise: Readonly<Record<"events" | "commands" | "states", string>>;
}

/** The events by their names in the .proto, the commands as a record has them, and the state. */
function familiesOf({ domain, folder, raise }: StoredDomain): readonly [Family, Family, Family] {
  const { aggregate, commands, states, events } = domain;
  return [
    {
      domain,
      name: `${folder}events`,
      schemaVersion: events.schemaVersion,
      raise: raise.events,
      kinds: aggregate.eventSchema.oneofs.flatMap(({ fields }) =>
        fields.map(({ name, localName }) => ({
          name,
          schema: aggregate.eventSchema,
          written: () => withVersion(filled(aggregate.eventSchema, localName), events.schemaVersion),
          today: (bytes) => upcastButForVersion(aggregate.eventSchema, bytes, events),
        })),
      ),
    },
    {
      domain,
      name: `${folder}commands`,
      schemaVersion: commands.schemaVersion,
      raise: raise.commands,
      kinds: aggregate.commandSchema.fields.map(({ name, jsonName, localName }) => ({
        name,
        schema: commands.record,
        written() {
          // The metadata tells the options.
          const { options: _, ...facts } = filled(aggregate.commandSchema, localName)[jsonName] as JsonObject;
          return withVersion({ ...filled(commands.record), command: { [jsonName]: facts } }, commands.schemaVersion);
        },
      })),
    },
    {
      domain,
      name: `${folder}states`,
      schemaVersion: states.schemaVersion,
      raise: raise.states,
      kinds: [
        {
          name: aggregate.stateSchema.name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase(),
          schema: aggregate.stateSchema,
          written: () => filled(aggregate.stateSchema),
          today: states.read,
        },
      ],
    },
  ];
}

/** An event as it is read today, but for its version, which is what it was written in. */
function upcastButForVersion(schema: DescMessage, bytes: Uint8Array, { upcast }: EventReader): Message {
  const event = fromBinary(schema, bytes) as EventMessage;
  return { ...upcast(event), ...(event.metadata && { metadata: event.metadata }) };
}

/** What the runtime keeps itself, of whatever domain. All readers of a newer version must read what the older ones wrote. */
const runtime: Family = {
  domain: undefined,
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

export const families: readonly Family[] = [
  ...familiesOf({
    domain: orders,
    folder: "",
    raise: {
      events: "schemaVersion in internal/orders/order-events.ts",
      commands: "COMMAND_SCHEMA_VERSION in internal/orders/orders.ts",
      states: "schemaVersion in internal/orders/domain/order-states.ts",
    },
  }),
  ...familiesOf({
    domain: tickets,
    folder: "tickets/",
    raise: {
      events: "schemaVersion of ticketEvents in internal/tickets/ticket.ts",
      commands: "COMMAND_SCHEMA_VERSION in internal/tickets/tickets.ts",
      states: "schemaVersion of ticketStates in internal/tickets/ticket.ts",
    },
  }),
  runtime,
];

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
