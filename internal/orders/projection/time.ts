import { type Timestamp, timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import type { EventMetadata } from "../../gen/headwater/cqrs/v1/event_pb.ts";

/** The range of a Timestamp by its own definition; beyond it, dates have no ISO 8601 form that sorts. */
const earliestMs = Date.parse("0001-01-01T00:00:00Z");
const latestMs = Date.parse("9999-12-31T23:59:59.999Z");

/** When the event happened, to the millisecond. Every event says so; one that did not would count as of 1970. */
export function happenedAt({ occurredAt }: EventMetadata): Timestamp {
  return timestampFromDate(occurredAt === undefined ? new Date(0) : dateOf(occurredAt));
}

/** The nearest date that a document can hold. */
export function dateOf(timestamp: Timestamp): Date {
  return new Date(Math.min(Math.max(timestampMs(timestamp), earliestMs), latestMs));
}

/** The day in UTC, as YYYY-MM-DD. */
export function dayOf(timestamp: Timestamp): string {
  return dateOf(timestamp).toISOString().slice(0, "YYYY-MM-DD".length);
}

export function earlier(a: Timestamp | undefined, b: Timestamp): Timestamp {
  return a !== undefined && timestampMs(a) <= timestampMs(b) ? a : b;
}

export function later(a: Timestamp | undefined, b: Timestamp): Timestamp {
  return a !== undefined && timestampMs(a) >= timestampMs(b) ? a : b;
}
