/**
 * `npm run golden`: records the events that have no file of today's schema version, and writes anew what the recorded bytes of all others
 * say. The bytes themselves it never changes.
 */

import { writeFileSync } from "node:fs";
import { eventKinds, goldenOf, goldenPath, readGolden, schemaVersion, versionsOf, writtenToday } from "./golden.ts";

const isRecorded = eventKinds.some(({ name }) => readGolden(name, schemaVersion) !== undefined);
/** A version is recorded once, with all its kinds. */
const changed = isRecorded
  ? eventKinds.filter(({ name, localName }) => readGolden(name, schemaVersion)?.bytes !== writtenToday(localName))
  : [];

if (changed.length > 0) {
  const names = changed.map(({ name }) => name).join(", ");
  console.error(`Changed or new since schema version ${schemaVersion} was recorded: ${names}.`);
  console.error("Raise schemaVersion in internal/orders/order-events.ts, then run this again: docs/evolution.md says why.");
  process.exitCode = 1;
} else {
  for (const { name, localName } of eventKinds) {
    for (const version of new Set([...versionsOf(name), schemaVersion])) {
      const golden = goldenOf(readGolden(name, version)?.bytes ?? writtenToday(localName));
      writeFileSync(goldenPath(name, version), `${JSON.stringify(golden, null, 2)}\n`);
    }
  }
}
