/** The importer through the public API of the separate processes, beside an append of the same commands and nothing else. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log, LogRecord } from "../../internal/cqrs/log.ts";
import { orderTopics } from "../../test/support/order-domain.ts";
import { startSystem } from "../../test/support/processes.ts";
import { IMPORTED_FILE, importThrough } from "../import.ts";
import type { Measurement } from "../measurement.ts";
import { type KafkaBench, openLog, type Stores } from "./stores.ts";
import { peerTopics } from "./topologies.ts";

const NAME = "import of invoices.csv";

const QUICK_LINES = 1_000;

/** As many as the importer has under way. */
const IN_FLIGHT = 512;

export const importingOnKafka: Measurement<KafkaBench> = {
  name: "import",
  summary: `commands/s of headwater import ${IMPORTED_FILE}, beside bare appends of the same bytes`,
  async run({ stores, quick, folder, progress }) {
    progress(NAME);
    await stores.empty();
    const perSecond = await importInto(stores, quick ? await excerpt(folder) : IMPORTED_FILE);
    await using log = await openLog(stores, [...Object.values(orderTopics), ...Object.values(peerTopics)]);
    progress("bare appends");
    const bare = await measureAppends(log, await appended(log));
    return [{ name: NAME, value: perSecond, unit: "/s", beside: [{ name: `appended bare, ${IN_FLIGHT} at a time`, value: bare }] }];
  },
};

async function importInto(stores: Stores, file: string): Promise<number> {
  await using system = await startSystem(stores, stores);
  return await importThrough(system.commandAddress, file);
}

/** The first lines of the file, in a file of their own. */
async function excerpt(folder: string): Promise<string> {
  const lines = (await readFile(IMPORTED_FILE, "utf8")).split("\n");
  const path = join(folder, "excerpt.csv");
  await writeFile(path, `${lines.slice(0, QUICK_LINES).join("\n")}\n`);
  return path;
}

/** All commands in the log. */
async function appended(log: Log): Promise<readonly LogRecord[]> {
  const topic = orderTopics.commands.name;
  const ends = await log.ends(topic);
  const records = await Promise.all(ends.map((end, partition) => readTo(log, { topic, partition, end })));
  return records.flat();
}

async function readTo(
  log: Log,
  { end, ...place }: { readonly topic: string; readonly partition: number; readonly end: number },
): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  if (end === 0) return records;
  const batches = await log.tail({ ...place, from: 0, signal: new AbortController().signal });
  for await (const batch of batches) {
    records.push(...batch);
    if ((batch.at(-1)?.offset ?? 0) + 1 >= end) break;
  }
  return records;
}

async function measureAppends(log: Log, records: readonly LogRecord[]): Promise<number> {
  const startedMs = performance.now();
  for (let from = 0; from < records.length; from += IN_FLIGHT) {
    const batch = records.slice(from, from + IN_FLIGHT);
    await log.append(batch.map(({ partition, key, value }) => ({ topic: peerTopics.commands.name, partition, key, value })));
  }
  return (records.length * 1000) / (performance.now() - startedMs);
}
