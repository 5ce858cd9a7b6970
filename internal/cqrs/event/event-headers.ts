/**
 * The headers that make an event's record a CloudEvent 1.0 (Kafka protocol binding, binary content mode) to readers in any language. They say
 * nothing that the event and its command's record do not say, so a replay writes the same.
 */

import type { Message } from "@bufbuild/protobuf";
import { type Timestamp } from "@bufbuild/protobuf/wkt";
import type { EventMetadata } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { type Domain, eventSourceOf } from "../domain.ts";
import { unionOf } from "../oneof.ts";
import { timestampToMs } from "../time.ts";
import type { TraceHeaders } from "./trace-context.ts";

/** The header with the partition sequence of an event, by CloudEvents' extension "sequence": known although the value cannot be read. */
export const SEQUENCE_HEADER = "ce_sequence";

/** They sort as text, as the extension wants it. */
const SEQUENCE_DIGITS = 16;

/** Makes the headers of an event, with the trace context that its command came with. */
export type EventHeaders = (event: Message, trace: TraceHeaders | undefined) => Readonly<Record<string, string>>;

/** The headers of a domain's events. The type of an event is the full name of the message with its facts. */
export function createEventHeaders(domain: Pick<Domain, "name" | "aggregate">): EventHeaders {
  const { aggregate } = domain;
  const eventSource = eventSourceOf(domain);
  const union = unionOf(aggregate.eventSchema).localName;
  return (event, trace) => {
    const { metadata, [union]: facts } = event as unknown as { readonly metadata: EventMetadata; readonly [union: string]: unknown };
    const time = rfc3339(metadata.occurredAt);
    return {
      ce_specversion: "1.0",
      ce_id: metadata.eventId,
      ce_source: eventSource,
      ce_type: (facts as { readonly value: Message }).value.$typeName,
      ce_subject: metadata.aggregateId,
      [SEQUENCE_HEADER]: String(metadata.sequence).padStart(SEQUENCE_DIGITS, "0"),
      ...(time === undefined ? {} : { ce_time: time }),
      "content-type": "application/protobuf",
      ...trace,
    };
  };
}

/** A second that was written, up to its fraction: its events come together, and a calendar costs more than all else of a header. */
let written = { ms: Number.NaN, text: "" };

/** A year of four digits, as RFC 3339 has it, makes 24 characters. A time that is none is left out: it must not end the handler. */
function rfc3339(timestamp: Timestamp | undefined): string | undefined {
  if (timestamp === undefined) return undefined;
  // NaN: beyond the calendar of dates.
  const ms = new Date(timestampToMs(timestamp)).getTime();
  if (Number.isNaN(ms)) return undefined;
  const fraction = ((ms % 1_000) + 1_000) % 1_000;
  if (written.ms !== ms - fraction) written = { ms: ms - fraction, text: new Date(ms - fraction).toISOString().slice(0, -4) };
  return written.text.length === 20 ? `${written.text}${String(fraction).padStart(3, "0")}Z` : undefined;
}
