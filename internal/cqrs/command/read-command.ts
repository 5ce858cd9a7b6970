/** What a record of the commands topic is to a command handler. */

import type { Message } from "@bufbuild/protobuf";
import type { CommandMetadata } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import { decode, decodeKnown, UnknownFieldError } from "../decode.ts";
import type { Domain } from "../domain.ts";
import type { LogRecord } from "../log.ts";
import { partitionOf } from "../partition.ts";

/** A command as the handler reads it. */
export interface ReadCommand {
  readonly metadata: CommandMetadata;
  /** Absent in an inquiry. */
  readonly command: Message | undefined;
  /** Why this code must not decide it, if so: newer code has written it, and a newer handler decides it. */
  readonly newer?: string;
  /** Why nobody must decide it, if so: it was accepted for another stream of events. */
  readonly foreign?: string;
}

/** What decides whether a record is a command that may be decided. */
export interface CommandSource {
  readonly domain: Pick<Domain, "commands">;
  /** The id of the events topic. */
  readonly stream: string;
  readonly partitions: number;
}

/** The command in a record, or why there is none: then it belongs to the dead letters. */
export function readCommand({ domain, stream, partitions }: CommandSource, record: LogRecord): ReadCommand | string {
  try {
    const { metadata, command, newer } = decodeRecord(domain, record.value);
    if (metadata === undefined) return "the record has no metadata";
    if (metadata.aggregateId !== record.key) return `the key is not the id ${JSON.stringify(metadata.aggregateId)} in the metadata`;
    if (metadata.commandId === "") return "the record has no command id";
    if (record.key.startsWith("_")) return "an id cannot begin with an underscore";
    if (partitionOf(record.key, partitions) !== record.partition) return "the record is in a partition that its key does not belong to";
    if (metadata.stream !== stream) return { metadata, command, foreign: foreignTo(stream, metadata) };
    return newer === undefined ? { metadata, command } : { metadata, command, newer };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function foreignTo(stream: string, metadata: CommandMetadata): string {
  const accepted = metadata.stream === "" ? "for no stream" : `for the stream ${JSON.stringify(metadata.stream)}`;
  return `it was accepted ${accepted}, but the id of the events topic is ${JSON.stringify(stream)}: the topic was created again`;
}

function decodeRecord({ commands: { record: schema, schemaVersion: known } }: CommandSource["domain"], value: Uint8Array) {
  try {
    const { metadata, command } = decodeKnown(schema, value);
    const version = metadata?.schemaVersion ?? 0;
    if (version <= known) return { metadata, command };
    return { metadata, command, newer: `it has schema version ${version}, and this code knows none beyond ${known}` };
  } catch (error) {
    if (!(error instanceof UnknownFieldError)) throw error;
    return { ...decode(schema, value), newer: error.message };
  }
}
