/**
 * `npm run golden`: records the events that have no file of today's schema version, and writes anew what the recorded bytes of all others
 * say. The bytes themselves it never changes.
 */

import { writeFileSync } from "node:fs";
import { eventKinds, goldenOf, goldenPath, readGolden, schemaVersion, versionsOf, writtenToday } from "./golden.ts";

const changed = eventKinds.filter(({ name, localName }) => {
  const recorded = readGolden(name, schemaVersion);
  return recorded !== undefined && recorded.bytes !== writtenToday(localName);
});

if (changed.length > 0) {
  const names = changed.map(({ name }) => name).join(", ");
  console.error(`Changed since schema version ${schemaVersion} was recorded: ${names}.`);
  console.error(
    "Raise schemaVersion in internal/orders/order-events.ts, then run this again: docs/decisions/events-are-upcast-on-read.md says why.",
  );
  process.exitCode = 1;
} else {
  for (const { name, localName } of eventKinds) {
    for (const version of new Set([...versionsOf(name), schemaVersion])) {
      const golden = goldenOf(readGolden(name, version)?.bytes ?? writtenToday(localName));
      writeFileSync(goldenPath(name, version), `${JSON.stringify(golden, null, 2)}\n`);
    }
  }
}
