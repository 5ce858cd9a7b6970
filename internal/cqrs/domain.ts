/** A domain as one value: everything that the runtime, its servers and its operators need of it. */

import type { DescMessage, DescService, Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { CommandMetadata } from "../gen/headwater/cqrs/v1/record_pb.ts";
import type { Aggregate } from "./aggregate.ts";
import type { Topic } from "./log.ts";
import type { Projection } from "./projection.ts";
import type { Query } from "./query/query.ts";
import type { StreamQueries } from "./query/stream-query.ts";
import type { StateReader } from "./state-upcasting.ts";
import type { EventReader } from "./upcasting.ts";

/** The value of a record of the commands topic: metadata, and the command unless it is an inquiry after an outcome. */
export type CommandRecord = Message & { metadata?: CommandMetadata | undefined; command?: Message | undefined };

/** The gRPC codes that a domain may refuse a command with. */
export type RefusalCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "RESOURCE_EXHAUSTED"
  | "INTERNAL";

/** The write side of a domain: its commands, and how they are served. */
export interface CommandSide {
  /**
   * The service with one RPC per command, and `Execute` and `GetCommandOutcome`. Each RPC's request
   * is a member of the aggregate's command message.
   */
  readonly service: DescService;
  /** The field of every request that names the aggregate, by its name in TypeScript. */
  readonly aggregateId: string;
  /** The gRPC code of each reason to refuse a command. */
  readonly reasons: Readonly<Record<string, RefusalCode>>;
  readonly record: GenMessage<CommandRecord>;
  /**
   * The version of its commands, from 1. Raise it with every change of what a command can say, also
   * with a new field or a new kind: a handler that knows only older versions then waits to be
   * replaced, instead of deciding without what it does not know.
   */
  readonly schemaVersion: number;
}

/** The read side of a domain: its queries, by the names of their RPCs. */
export interface QuerySide {
  readonly service: DescService;
  /** Those with one answer. */
  readonly unary: Readonly<Record<string, Query<never, object>>>;
  /** Those that stay open. */
  readonly streams: StreamQueries;
}

/** A domain, wherever it is deployed. */
export interface Domain {
  /**
   * Names the topics, the groups and the catalogue's entries; lower-case letters, digits and
   * hyphens. It is state: renaming it abandons everything.
   */
  readonly name: string;
  readonly aggregate: Aggregate<DescMessage, DescMessage, DescMessage>;
  /** Its states, of all versions that were ever written. */
  readonly states: StateReader;
  /** Its events, of all versions that were ever written. */
  readonly events: EventReader;
  readonly commands: CommandSide;
  readonly queries: QuerySide;
  /** All views: they are projected, waited for and listed everywhere. */
  readonly views: readonly Projection[];
}

/** The topics of a domain. Their names are state: renaming one abandons what it holds. */
export interface DomainTopics {
  readonly commands: Topic;
  readonly events: Topic;
  readonly state: Topic;
  readonly deadLetters: Topic;
  readonly replies: Topic;
  readonly progress: Topic;
}

/** The consumer groups of a domain. A group that is renamed begins beside the members of the old one. */
export interface DomainGroups {
  readonly handler: string;
  readonly projector: string;
}

/** A domain where it is deployed. */
export interface DeployedDomain extends Domain {
  readonly topics: DomainTopics;
  readonly groups: DomainGroups;
}

/** What a namespace may be: it is part of the names of topics, groups and databases. */
export const NAMESPACE = /^[a-z0-9-]{1,20}$/;

/**
 * Deploys a domain in a namespace, so that several systems share a Kafka and a MongoDB without seeing
 * each other.
 *
 * @param namespace - empty: none, and the names begin with the domain's
 * @throws {TypeError} it is no namespace
 */
export function deployDomain(domain: Domain, namespace = ""): DeployedDomain {
  if (namespace !== "" && !NAMESPACE.test(namespace)) {
    throw new TypeError(`${JSON.stringify(namespace)} is no namespace: use 1 to 20 lower-case letters, digits and hyphens`);
  }
  const prefix = namespace === "" ? domain.name : `${namespace}.${domain.name}`;
  const topics = {
    commands: { name: `${prefix}.commands.v1`, retention: "days" },
    events: { name: `${prefix}.events.v1`, retention: "forever" },
    state: { name: `${prefix}.state.v1`, retention: "latest" },
    deadLetters: { name: `${prefix}.dead-letters.v1`, retention: "forever" },
    replies: { name: `${prefix}.replies.v1`, retention: "live" },
    progress: { name: `${prefix}.progress.v1`, retention: "live" },
  } as const;
  const groups = { handler: `${prefix}.command-handler.v1`, projector: `${prefix}.projector.v1` };
  return { ...domain, topics, groups };
}

/** The CloudEvents `source` of a domain's events, a URI-reference. It is state: consumers know events by source and id. */
export function eventSourceOf({ name }: Pick<Domain, "name">): string {
  return `/headwater/${name}`;
}

/** The domain of a domain's reasons in google.rpc.ErrorInfo; part of the contract. */
export function errorDomainOf({ name }: Pick<Domain, "name">): string {
  return `${name}.headwater`;
}
