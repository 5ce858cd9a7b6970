import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { readStored, samples, storedPath } from "./stored.ts";

describe.each(Object.entries(samples))("%s", (name, { value, write, read }) => {
  it("is written as it is recorded", () => {
    expect(write()).toEqual(readStored(name));
  });

  it("is read as it was meant", () => {
    expect(read(readStored(name) as never)).toEqual(value);
  });
});

it("nothing else is recorded", () => {
  const files = readdirSync(dirname(storedPath("")));
  expect(files.toSorted()).toEqual(
    Object.keys(samples)
      .map((name) => `${name}.json`)
      .toSorted(),
  );
});

it.each(["view-generations", "parked-key"])("%s of a newer version is refused, since it may say more", (name) => {
  const stored = readStored(name);
  if (typeof stored !== "object" || stored === null || Array.isArray(stored)) throw new TypeError("nothing is recorded");
  expect(() => samples[name]?.read({ ...stored, schemaVersion: 2 } as never)).toThrow("was written by a newer version of this program");
});
