import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { plantedFaults } from "../chaos/planted-faults.ts";

const root = join(import.meta.dirname, "..", "..");

it.each(plantedFaults)("a planted fault has its place in the code: $name", ({ file, find }) => {
  expect(readFileSync(join(root, file), "utf8").split(find)).toHaveLength(2);
});
