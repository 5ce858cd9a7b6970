/**
 * Events are written once and read for ever. Whoever reads one of an older schema gets what it means today: it is brought from one schema
 * version to the next by pure functions, before any fold sees it. See docs/decisions/events-are-upcast-on-read.md.
 */

import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { EventMetadata } from "../gen/headwater/cqrs/v1/event_pb.ts";
import { decode } from "./decode.ts";
import { type Member, type MemberOf, type Oneof, type UnionOf, unionOf } from "./oneof.ts";

/** An event as the runtime knows it: metadata, and facts that only the domain and the views look into. */
export type EventMessage = Message & { readonly metadata?: EventMetadata | undefined };

/**
 * Tells which fields of an event are others in the next schema version, given its facts and all of it. The facts may become those of another
 * kind. Pure: it sees one event and nothing else. The metadata stays, whatever it tells: an event keeps its place in the history.
 */
export type Upcaster<EventDesc extends DescMessage, Facts> = (
  facts: Facts,
  event: MessageShape<EventDesc>,
) => Partial<MessageInitShape<EventDesc>>;

/** Per kind of event, its upcasters by the schema version that each takes. A version that is left out changed nothing about that kind. */
export type Upcasters<EventDesc extends DescMessage> = {
  readonly [Case in Member<UnionOf<EventDesc>>["case"]]?: {
    readonly [version: number]: Upcaster<EventDesc, MemberOf<UnionOf<EventDesc>, Case>["value"]>;
  };
};

/** The events of a domain. */
export interface EventSchema<EventDesc extends DescMessage> {
  /** The message whose oneof holds the facts. */
  readonly event: EventDesc;
  /** The version that is written today, from 1. Raise it with every change of what is written, also with a new field or a new kind. */
  readonly schemaVersion: number;
  readonly upcasters: Upcasters<EventDesc>;
}

/** Reads a domain's events, of all versions that were ever written. `metadata.schema_version` of what it gives is today's. */
export interface EventReader<Event extends EventMessage = EventMessage> {
  /** The version that is written today. */
  readonly schemaVersion: number;
  /**
   * @throws {NewerEventError} the event was written by newer code
   * @throws {UnknownEventError} the event is of no kind
   * @throws {UpcastError} an upcaster failed
   */
  read(bytes: Uint8Array): Event;
  /** The same, of an event that is decoded already, such as one that a document holds. */
  upcast(event: Event): Event;
}

/** Newer code has written this event. To go on without what it says would be wrong for ever: the reader must be replaced first. */
export class NewerEventError extends Error {
  override readonly name = "NewerEventError";
}

/** An event of a known schema version that holds no facts which that version has. */
export class UnknownEventError extends Error {
  override readonly name = "UnknownEventError";
}

/** An upcaster has failed: a fault in the code, or an event that nobody thought of. */
export class UpcastError extends Error {
  override readonly name = "UpcastError";
}

/** What an upcast event was made of. */
const written = new WeakMap<EventMessage, EventMessage>();

/**
 * The event as it was written, of one that a reader gave. For documents that are the events themselves: the version that they say is the one
 * they have, and whoever reads them upcasts them, whichever code wrote the document.
 */
export function asWritten<Event extends EventMessage>(event: Event): Event {
  return (written.get(event) as Event | undefined) ?? event;
}

/**
 * Makes the reader of a domain's events.
 *
 * @throws {TypeError} an upcaster can never be called: it takes a version that is not older than what is written
 */
export function createEventReader<EventDesc extends DescMessage>(
  schema: EventSchema<EventDesc>,
): EventReader<MessageShape<EventDesc> & EventMessage> {
  type Event = MessageShape<EventDesc> & EventMessage;
  const { schemaVersion } = schema;
  const union = unionOf(schema.event).localName;
  // The mapped type pairs each kind with its own facts; a lookup by a kind known only at run time cannot say so.
  const chains = schema.upcasters as Readonly<Record<string, Readonly<Record<number, Upcaster<EventDesc, unknown>>>>>;
  checkVersions(schema.event, chains, schemaVersion);
  const factsOf = (event: Event): Oneof => (event as unknown as Readonly<Record<string, Oneof>>)[union] as Oneof;

  function step(event: Event, version: number): Event {
    const { case: kind, value } = factsOf(event);
    const upcaster = kind === undefined ? undefined : chains[kind]?.[version];
    if (upcaster === undefined) return event;
    try {
      // With its type's name it would be taken as it is, and what the upcaster tells in short would never become a message.
      return create(schema.event, { ...event, ...upcaster(value, event), $typeName: undefined }) as Event;
    } catch (cause) {
      const message = `${nameOf(event, kind)} could not be brought from schema version ${version} to ${version + 1}`;
      throw new UpcastError(`${message}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }

  function upcast(event: Event): Event {
    const { metadata } = event;
    // A version that is not stated is the first.
    const from = metadata?.schemaVersion || 1;
    const { case: kind } = factsOf(event);
    if (from > schemaVersion) {
      const known = `this code knows none beyond ${schemaVersion}`;
      throw new NewerEventError(`${nameOf(event, kind)} has schema version ${from}, and ${known}: bring the newer code here first`);
    }
    if (kind === undefined) throw new UnknownEventError(`${nameOf(event, kind)} says nothing that schema version ${from} knows`);
    if (metadata === undefined || from === schemaVersion) return event;
    let current = event;
    for (let version = from; version < schemaVersion; version += 1) current = step(current, version);
    current = { ...current, metadata: { ...metadata, schemaVersion } };
    written.set(current, event);
    return current;
  }

  return {
    schemaVersion,
    read: (bytes) => upcast(decode(schema.event, bytes) as Event),
    upcast,
  };
}

function checkVersions(event: DescMessage, chains: Readonly<Record<string, object>>, schemaVersion: number): void {
  for (const [kind, chain] of Object.entries(chains)) {
    for (const version of Object.keys(chain).map(Number)) {
      if (Number.isInteger(version) && version >= 1 && version < schemaVersion) continue;
      throw new TypeError(
        `${event.typeName}: ${kind} has an upcaster from schema version ${version}, but ${schemaVersion} is written; raise schemaVersion`,
      );
    }
  }
}

function nameOf({ metadata }: EventMessage, kind: string | undefined): string {
  return `the event ${metadata?.eventId ?? "without metadata"} (${kind ?? "of an unknown kind"})`;
}
