import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { editsOf, plantedFaults } from "../chaos/planted-faults.ts";

const root = join(import.meta.dirname, "..", "..");

it.each(plantedFaults)("a planted fault has its place in the code: $name", (fault) => {
  for (const { file, find } of editsOf(fault)) expect(readFileSync(join(root, file), "utf8").split(find), file).toHaveLength(2);
});
