import type { Timestamp } from "@bufbuild/protobuf/wkt";

const NANOS_PER_MS = 1_000_000;

/**
 * The millisecond in which a time lies, since 1970: what is finer is cut off. To round it would
 * move what happened at the end of a day, a month or a year into the next one.
 */
export function timestampToMs({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.floor(nanos / NANOS_PER_MS);
}

/**
 * The first whole millisecond that is not before a time: where a span begins, or ends, that is
 * given more finely than times are kept.
 */
export function timestampToNextMs({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / NANOS_PER_MS);
}
