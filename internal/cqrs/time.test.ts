import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { timestampToMs, timestampToNextMs } from "./time.ts";

const newYear = Date.parse("2025-01-01T00:00:00Z");

it.each([
  ["the last nanosecond of a year", -1, 999_999_999, -1, 0],
  ["half a millisecond before it ends", -1, 999_500_000, -1, 0],
  ["a whole millisecond", -1, 999_000_000, -1, -1],
  ["its first moment", 0, 0, 0, 0],
  ["a nanosecond after", 0, 1, 0, 1],
])("%s lies in the millisecond that is not over", (_, seconds, nanos, lies, next) => {
  const time = create(TimestampSchema, { seconds: BigInt(newYear / 1000 + seconds), nanos });
  expect([timestampToMs(time) - newYear, timestampToNextMs(time) - newYear]).toEqual([lies, next]);
});

it("a time before 1970 is cut towards the past too", () => {
  expect(timestampToMs(create(TimestampSchema, { seconds: -1n, nanos: 999_999_999 }))).toBe(-1);
});
