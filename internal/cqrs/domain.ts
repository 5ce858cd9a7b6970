/** A domain as the runtime runs it: its aggregate, its messages and its topics. */

import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { CommandMetadata } from "../gen/headwater/cqrs/v1/command_pb.ts";
import type { Aggregate } from "./aggregate.ts";
import type { Topic } from "./log.ts";
import type { StateReader } from "./state-upcasting.ts";
import type { EventReader } from "./upcasting.ts";

/** The value of a record of the commands topic: metadata, and the command unless it is an inquiry after an outcome. */
export type CommandRecord = Message & { metadata?: CommandMetadata | undefined; command?: Message | undefined };

/** The topics of a domain. Their names are state: renaming one abandons what it holds. */
export interface DomainTopics {
  readonly commands: Topic;
  readonly events: Topic;
  readonly state: Topic;
  readonly deadLetters: Topic;
  readonly replies: Topic;
  readonly progress: Topic;
}

/** Everything that the runtime needs of a domain. */
export interface Domain {
  readonly aggregate: Aggregate<DescMessage, DescMessage, DescMessage>;
  readonly commandRecordSchema: GenMessage<CommandRecord>;
  /**
   * The version of its commands, from 1. Raise it with every change of what a command can say, also
   * with a new field or a new kind: a handler that knows only older versions then waits to be
   * replaced, instead of deciding without what it does not know.
   */
  readonly commandSchemaVersion: number;
  /** Its states, of all versions that were ever written. */
  readonly states: StateReader;
  readonly topics: DomainTopics;
  /** Who says so: the CloudEvents `source` of every event, a URI-reference. It is state: consumers know events by source and id. */
  readonly eventSource: string;
  /** Its events, of all versions that were ever written. */
  readonly events: EventReader;
}
