/** Given events, when a command, then events or a rejection: how the rules of any aggregate are told as tests, whatever runs the tests. */

import { create, type DescMessage, equals, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
import { EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { type Aggregate, type Decision, type DecisionContext, isRejected, type Rejected } from "../aggregate.ts";
import { type Member, type Oneof, type UnionInitOf, type UnionOf, unionOf } from "../oneof.ts";

/** What a rejection must be: its reason, and those of its metadata that are named. */
export interface ExpectedRejection<Reason extends string = string> {
  readonly reason: Reason;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The facts of an event, or several as `event()` of the domain and `nothing` give them. */
export type Facts<EventDesc extends DescMessage> = Member<UnionOf<EventDesc>> | readonly Member<UnionOf<EventDesc>>[];

/** The facts of a command, as an initialiser of the command message's oneof. */
export type CommandFacts<CommandDesc extends DescMessage> = Member<UnionInitOf<CommandDesc>>;

/** A history, to which commands can be put. */
export interface Given<StateDesc extends DescMessage, CommandDesc extends DescMessage, EventDesc extends DescMessage> {
  /** The state that the events lead to. */
  readonly state: MessageShape<StateDesc>;
  /** Decides the command. The context defaults to a fixed one whose command id counts the commands put so far. */
  when(command: CommandFacts<CommandDesc>, context?: Partial<DecisionContext>): When<StateDesc, CommandDesc, EventDesc>;
}

/** A decided command. As a history it goes on with the command's events. */
export interface When<StateDesc extends DescMessage, CommandDesc extends DescMessage, EventDesc extends DescMessage>
  extends Given<StateDesc, CommandDesc, EventDesc> {
  readonly decision: Decision;
  /** @throws {SpecificationError} the decision is another one */
  expect(...expected: readonly (Facts<EventDesc> | ExpectedRejection)[]): void;
}

/** What was expected did not happen; the message shows both. */
export class SpecificationError extends Error {
  override readonly name = "SpecificationError";
}

/** A rejection for `expect`. */
export function rejected<Reason extends string>(reason: Reason, metadata?: Readonly<Record<string, string>>): ExpectedRejection<Reason> {
  return metadata === undefined ? { reason } : { reason, metadata };
}

/** Makes the `given` of an aggregate. */
export function specification<StateDesc extends DescMessage, CommandDesc extends DescMessage, EventDesc extends DescMessage>(
  aggregate: Aggregate<StateDesc, CommandDesc, EventDesc>,
) {
  type State = MessageShape<StateDesc>;
  type Events = readonly Member<Oneof>[];
  const commandOneof = unionOf(aggregate.commandSchema).localName;

  function fold(state: State, version: number, events: Events): State {
    return events.reduce((before, facts, index) => {
      const metadata = create(EventMetadataSchema, { aggregateId: "aggregate", version: version + index + 1 });
      return aggregate.happen(before, facts, metadata).state;
    }, state);
  }

  function history(state: State, version: number, commands: number): Given<StateDesc, CommandDesc, EventDesc> {
    return {
      state,
      when(facts, context) {
        const command = create(aggregate.commandSchema, { [commandOneof]: facts } as unknown as MessageInitShape<CommandDesc>);
        const decision = aggregate.decide(state, command, { ...contextOf(commands + 1), ...context });
        const events = isRejected(decision) ? [] : decision;
        const after = history(fold(state, version, events), version + events.length, commands + 1);
        return {
          decision,
          state: after.state,
          when(next, nextContext) {
            if (isRejected(decision)) throw new SpecificationError(`${facts.case} was rejected: ${show(aggregate.eventSchema, decision)}`);
            return after.when(next, nextContext);
          },
          expect(...expected) {
            compare(aggregate.eventSchema, facts.case, expected.flat() as readonly (Member<Oneof> | ExpectedRejection)[], decision);
          },
        };
      },
    };
  }

  return {
    /** Starts from the events that happened, oldest first; from nothing if there are none. */
    given(...events: readonly Facts<EventDesc>[]): Given<StateDesc, CommandDesc, EventDesc> {
      const facts = events.flat() as Events;
      return history(fold(aggregate.initial(), 0, facts), facts.length, 0);
    },
  };
}

function contextOf(number: number): DecisionContext {
  const commandId = `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
  return { aggregateId: "aggregate", commandId, occurredAt: new Date(0) };
}

function compare(schema: DescMessage, name: string, expected: readonly (Member<Oneof> | ExpectedRejection)[], decision: Decision): void {
  const actual = isRejected(decision) ? [decision] : decision;
  if (actual.length === expected.length && expected.every((one, index) => isSame(schema, one, actual[index]))) return;
  const wanted = expected.map((one) => show(schema, one)).join("\n") || "nothing";
  const got = actual.map((one) => show(schema, one)).join("\n") || "nothing";
  throw new SpecificationError(`${name} led to another decision\n\nexpected:\n${wanted}\n\nactual:\n${got}`);
}

function isSame(schema: DescMessage, expected: Member<Oneof> | ExpectedRejection, actual: Member<Oneof> | Rejected | undefined): boolean {
  if (actual === undefined || "reason" in expected !== "reason" in actual) return false;
  if ("reason" in expected && "reason" in actual) {
    const metadata = Object.entries(expected.metadata ?? {});
    return expected.reason === actual.reason && metadata.every(([key, value]) => actual.metadata?.[key] === value);
  }
  if ("reason" in expected || "reason" in actual || expected.case !== actual.case) return false;
  return equals(schemaOf(schema, expected), messageOf(expected), messageOf(actual));
}

function show(schema: DescMessage, shown: Member<Oneof> | ExpectedRejection): string {
  if ("reason" in shown) return `rejected ${JSON.stringify(shown, null, 2)}`;
  return `${shown.case} ${JSON.stringify(toJson(schemaOf(schema, shown), messageOf(shown)), null, 2)}`;
}

function schemaOf(schema: DescMessage, facts: Member<Oneof>): DescMessage {
  const member = unionOf(schema).fields.find(({ localName }) => localName === facts.case);
  if (member?.message === undefined) throw new SpecificationError(`${schema.typeName} has no ${facts.case}`);
  return member.message;
}

function messageOf(facts: Member<Oneof>): MessageShape<DescMessage> {
  return facts.value as MessageShape<DescMessage>;
}
