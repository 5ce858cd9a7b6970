import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { editsOf, plantedFaults } from "../chaos/planted-faults.ts";

const root = join(import.meta.dirname, "..", "..");

it.each(plantedFaults)("a planted fault has its place in the code: $name", (fault) => {
  for (const { file, find } of editsOf(fault)) expect(readFileSync(join(root, file), "utf8").split(find), file).toHaveLength(2);
});

it("plant.ts loads nothing of what it edits before its edits are in place", () => {
  const files = ["plant.ts", "planted-faults.ts", "failpoints.ts", "points.ts"].map((name) => join("test", "chaos", name));
  const loaded = [...files, join("test", "support", "kafka-wire.ts")].flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(/^(?:import|export) (?!type ).*from "(\..*)";$/gm)].map(([, from = ""]) =>
      join(file, "..", from),
    ),
  );
  expect(loaded.filter((file) => !files.includes(file) && file !== join("test", "support", "kafka-wire.ts"))).toEqual([]);
});
