import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { timestampToMs, timestampToNextMs } from "../../cqrs/time.ts";
import type { EventMetadata } from "../../gen/headwater/cqrs/v1/event_pb.ts";

/** The range of a Timestamp by its own definition; beyond it, dates have no ISO 8601 form that sorts. */
const earliestMs = Date.parse("0001-01-01T00:00:00Z");
const latestMs = Date.parse("9999-12-31T23:59:59.999Z");

/** When the event happened, to the millisecond. Every event says so; one that did not would count as of 1970. */
export function happenedAt({ occurredAt }: EventMetadata): Timestamp {
  return timestampFromDate(occurredAt === undefined ? new Date(0) : dateOf(occurredAt));
}

/** The date in a document of a time, or the nearest that a document can hold. */
export function dateOf(timestamp: Timestamp): Date {
  return nearestDate(timestampToMs(timestamp));
}

/**
 * The first date that is not before a time: dates at and after it are those at and after the time.
 */
export function dateFrom(timestamp: Timestamp): Date {
  return nearestDate(timestampToNextMs(timestamp));
}

function nearestDate(ms: number): Date {
  return new Date(Math.min(Math.max(ms, earliestMs), latestMs));
}

/** The day in UTC, as YYYY-MM-DD. */
export function dayOf(timestamp: Timestamp): string {
  return dateOf(timestamp).toISOString().slice(0, "YYYY-MM-DD".length);
}

export function earlier(a: Timestamp | undefined, b: Timestamp): Timestamp {
  return a !== undefined && timestampToMs(a) <= timestampToMs(b) ? a : b;
}

export function later(a: Timestamp | undefined, b: Timestamp): Timestamp {
  return a !== undefined && timestampToMs(a) >= timestampToMs(b) ? a : b;
}
