/** The importer as a user runs it: the orders of a real shop, through the public API, into a fresh log. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { startDevProcess } from "../test/support/dev-process.ts";
import type { Measurement } from "./measurement.ts";
import { measureRawWrites } from "./raw-writes.ts";

export const IMPORTED_FILE = "examples/online-retail/invoices.csv";
const NAME = "import of invoices.csv";

/** How the importer names its orders. */
const PREFIX = "invoice-";

export const importing: Measurement = {
  name: "import",
  summary: `commands/s of headwater import ${IMPORTED_FILE}, beside raw SQLite`,
  async run({ folder, progress }) {
    progress(NAME);
    const directory = join(folder, "import");
    const perSecond = await importInto(directory);
    const raw = measureRawWrites({ directory, prefix: PREFIX, folder });
    return [{ name: NAME, value: perSecond, unit: "/s", beside: [{ name: `SQLite, ${raw.batch} per fsync`, value: raw.perSecond }] }];
  },
};

async function importInto(directory: string): Promise<number> {
  await using dev = await startDevProcess({ directory });
  return await importThrough(dev.commandAddress);
}

/** Commands per second, from the start of the importer's process to its end. */
export async function importThrough(address: string, file = IMPORTED_FILE): Promise<number> {
  const args = ["cmd/headwater/main.ts", "import", file, "--json", "--command-url", `http://${address}`];
  const startedMs = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { commands } = JSON.parse(stdout) as { readonly commands: number };
  return (commands * 1000) / (performance.now() - startedMs);
}
