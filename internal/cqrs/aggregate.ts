/**
 * An aggregate is a decider: pure functions that say which events a command causes in a state, and which state an event leads to. No clock
 * and no randomness: a replay decides the same (P2, P6).
 */

import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { EventMetadata } from "../gen/headwater/cqrs/v1/event_pb.ts";
import { type Member, type MemberOf, type Oneof, type UnionInitOf, type UnionOf, unionOf } from "./oneof.ts";

/** What a decision may depend on beside state and command. */
export interface DecisionContext {
  readonly aggregateId: string;
  readonly commandId: string;
  /** When the command happened, by the caller's word. */
  readonly occurredAt: Date;
}

/** The domain's "no", with a reason of the domain's closed set and a message that is safe to show. */
export interface Rejected<Reason extends string = string> {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The events of an accepted command, none if there is nothing to do; or a rejection. */
export type Decision<Event extends Oneof = Oneof, Reason extends string = string> = readonly Member<Event>[] | Rejected<Reason>;

/** One function per command and one per event. */
export interface AggregateDefinition<State, Command extends Oneof, Event extends Oneof, Reason extends string, EventInit> {
  readonly decide: {
    readonly [Case in Member<Command>["case"]]: (
      state: State,
      command: MemberOf<Command, Case>["value"],
      context: DecisionContext,
    ) => Decision<Event, Reason>;
  };
  readonly evolve: {
    readonly [Case in Member<Event>["case"]]: (state: State, facts: MemberOf<Event, Case>["value"], metadata: EventMetadata) => State;
  };
  /** Fields of the event message beside metadata and facts, taken from the states after and before the event. Default: none. */
  readonly envelope?: (state: State, before: State) => EventInit;
}

/** An aggregate as the runtime uses it. Commands and events are the messages whose oneof holds the facts. */
export interface Aggregate<
  StateDesc extends DescMessage = DescMessage,
  CommandDesc extends DescMessage = DescMessage,
  EventDesc extends DescMessage = DescMessage,
> {
  readonly stateSchema: StateDesc;
  readonly commandSchema: CommandDesc;
  readonly eventSchema: EventDesc;
  initial(): MessageShape<StateDesc>;
  /** @throws {TypeError} the command is none that this code knows */
  decide(state: MessageShape<StateDesc>, command: MessageShape<CommandDesc>, context: DecisionContext): Decision;
  /** @throws {TypeError} the event is none that this code knows */
  evolve(state: MessageShape<StateDesc>, event: MessageShape<EventDesc>): MessageShape<StateDesc>;
  /** Makes one of the facts that `decide` returned happen: the complete event, and the state that it leads to, as `evolve` has it. */
  happen(
    state: MessageShape<StateDesc>,
    facts: Member<Oneof>,
    metadata: EventMetadata,
  ): Happened<MessageShape<StateDesc>, MessageShape<EventDesc>>;
}

/** An event, and the state after it. */
export interface Happened<State extends Message, Event extends Message> {
  readonly event: Event;
  readonly state: State;
}

/** Makes an aggregate of its schemas and its functions. */
export function aggregate<
  StateDesc extends DescMessage,
  CommandDesc extends DescMessage,
  EventDesc extends DescMessage,
  Reason extends string,
>(
  schemas: { readonly state: StateDesc; readonly command: CommandDesc; readonly event: EventDesc },
  definition: AggregateDefinition<
    MessageShape<StateDesc>,
    UnionOf<CommandDesc>,
    UnionOf<EventDesc>,
    Reason,
    Partial<MessageInitShape<EventDesc>>
  >,
): Aggregate<StateDesc, CommandDesc, EventDesc> {
  type State = MessageShape<StateDesc>;
  const commandOneof = unionOf(schemas.command).localName;
  const eventOneof = unionOf(schemas.event).localName;
  // The mapped types above pair each name with its own message; a lookup by a name known only at run time cannot say so.
  const deciders = definition.decide as Readonly<Record<string, (state: State, command: unknown, context: DecisionContext) => Decision>>;
  const evolvers = definition.evolve as Readonly<Record<string, (state: State, facts: unknown, metadata: EventMetadata) => State>>;
  const evolveFacts = (state: State, facts: Oneof, metadata: EventMetadata): State =>
    known(evolvers, facts, schemas.event)(state, facts.value, metadata);

  return {
    stateSchema: schemas.state,
    commandSchema: schemas.command,
    eventSchema: schemas.event,
    initial: () => create(schemas.state),
    decide(state, command, context) {
      const facts = field<Oneof>(command, commandOneof);
      return known(deciders, facts, schemas.command)(state, facts.value, context);
    },
    evolve: (state, event) => evolveFacts(state, field<Oneof>(event, eventOneof), field<EventMetadata>(event, "metadata")),
    happen(before, facts, metadata) {
      const state = evolveFacts(before, facts, metadata);
      const envelope = definition.envelope?.(state, before) ?? {};
      const event = create(schemas.event, { ...envelope, metadata, [eventOneof]: facts } as unknown as MessageInitShape<EventDesc>);
      return { event, state };
    },
  };
}

/** Makes the `event` function of a domain: `event("orderPlaced", { total })` is a decision for that one event. */
export function eventsOf<EventDesc extends DescMessage>(schema: EventDesc) {
  const schemas = new Map(unionOf(schema).fields.map((member) => [member.localName, member.message]));
  return function event<Case extends Member<UnionOf<EventDesc>>["case"]>(
    name: Case,
    facts: MemberOf<UnionInitOf<EventDesc>, Case>["value"],
  ): readonly [MemberOf<UnionOf<EventDesc>, Case>] {
    const member = schemas.get(name);
    if (member === undefined) throw new TypeError(`${name} is no event of ${schema.typeName}`);
    return [{ case: name, value: create(member, facts as MessageInitShape<DescMessage>) } as unknown as MemberOf<UnionOf<EventDesc>, Case>];
  };
}

/** Refuses a command. The message is shown to the caller. */
export function reject<Reason extends string>(
  reason: Reason,
  message: string,
  metadata?: Readonly<Record<string, string>>,
): Rejected<Reason> {
  return metadata === undefined ? { reason, message } : { reason, message, metadata };
}

/** Accepts a command that changes nothing, such as a repeated click. */
export const nothing: readonly never[] = [];

/** Whether a decision is the domain's "no". */
export function isRejected<Accepted extends object, Reason extends string>(
  decision: Accepted | Rejected<Reason>,
): decision is Rejected<Reason> {
  return "reason" in decision;
}

function known<Entry>(table: Readonly<Record<string, Entry>>, oneof: Oneof, schema: DescMessage): Entry {
  const entry = oneof.case === undefined || !Object.hasOwn(table, oneof.case) ? undefined : table[oneof.case];
  if (entry === undefined) throw new TypeError(`${schema.typeName} holds ${oneof.case ?? "nothing"} that this version knows`);
  return entry;
}

function field<Value>(message: object, name: string): Value {
  return (message as Readonly<Record<string, unknown>>)[name] as Value;
}
