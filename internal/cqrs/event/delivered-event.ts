/** Events as the log delivers them to those who fold: one that cannot be read has its place among the others all the same (P7). */

import type { EventMetadata } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import type { LogRecord } from "../log.ts";
import { type EventMessage, type EventReader, NewerEventError } from "../upcasting.ts";
import { SEQUENCE_HEADER } from "./event-headers.ts";

/** Where a record lies, and what is known of it without reading its value. */
interface Delivery {
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
  readonly aggregateId: string;
  /** When it was recorded, in milliseconds since 1970. */
  readonly recordedAtMs: number;
}

/** An event. */
export interface ReadableEvent extends Delivery {
  readonly sequence: number;
  readonly event: EventMessage;
  readonly metadata: EventMetadata;
}

/** A record that this code cannot read. */
export interface UnreadableEvent extends Delivery {
  /** Undefined: it has none, so it is no event of this log. */
  readonly sequence: number | undefined;
  readonly error: string;
}

/** What a record holds. */
export type DeliveredEvent = ReadableEvent | UnreadableEvent;

/**
 * The event in a record, or why it cannot be read.
 *
 * @throws {NewerEventError} newer code has begun to write: what it writes is for newer readers, and nothing to be parked
 */
export function delivered(events: Pick<EventReader, "read">, stream: string, record: LogRecord): DeliveredEvent {
  const { partition, offset, key: aggregateId, timestampMs: recordedAtMs } = record;
  try {
    const event = events.read(record.value);
    const { metadata } = event;
    if (metadata === undefined) throw new TypeError("the event has no metadata");
    const sequence = Number(metadata.sequence);
    return { stream, partition, offset, aggregateId: metadata.aggregateId, recordedAtMs, sequence, event, metadata };
  } catch (error) {
    if (error instanceof NewerEventError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { stream, partition, offset, aggregateId, recordedAtMs, sequence: toldSequence(record), error: message };
  }
}

/** The partition sequence as its writer told it beside the value; undefined if nobody did. */
export function toldSequence({ headers }: Pick<LogRecord, "headers">): number | undefined {
  const sequence = Number(headers?.[SEQUENCE_HEADER]);
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined;
}
