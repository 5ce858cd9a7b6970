/**
 * `npm run golden`: records the messages that have no file of today's schema version, and writes anew what the recorded bytes of all others
 * say. The bytes themselves it never changes. Of what is stored beside messages it records what has no file.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { encoded, type Family, families, goldenOf, goldenPath, readGolden, versionsOf } from "./golden.ts";
import { readStored, samples, storedPath } from "./stored.ts";

for (const family of families) record(family);

function record(family: Family): void {
  const { kinds, raise, schemaVersion } = family;
  const isRecorded = kinds.some((kind) => readGolden(family, kind, schemaVersion) !== undefined);
  /** A version is recorded once, with all its kinds. */
  const changed = isRecorded
    ? kinds.filter((kind) => readGolden(family, kind, schemaVersion)?.bytes !== encoded(kind, kind.written()))
    : [];
  if (changed.length > 0) {
    const names = changed.map(({ name }) => name).join(", ");
    console.error(`Changed or new since schema version ${schemaVersion} was recorded: ${names}.`);
    console.error(`Raise ${raise}, then run this again: docs/evolution.md says why.`);
    process.exitCode = 1;
    return;
  }
  for (const kind of kinds) {
    for (const version of new Set([...versionsOf(family, kind), schemaVersion])) {
      const golden = goldenOf(kind, readGolden(family, kind, version)?.bytes ?? encoded(kind, kind.written()), version);
      const path = goldenPath(family, kind, version);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${JSON.stringify(golden, null, 2)}\n`);
    }
  }
}

for (const [name, sample] of Object.entries(samples)) {
  if (readStored(name) === undefined) writeFileSync(storedPath(name), `${JSON.stringify(sample.write(), null, 2)}\n`);
}
