/** The importer as a user runs it: the orders of a real shop, through the public API, into a fresh log. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { startDevProcess } from "../test/support/dev-process.ts";
import type { Measurement } from "./measurement.ts";

const FILE = "examples/online-retail/invoices.csv";
const NAME = "import of invoices.csv";

export const importing: Measurement = {
  name: "import",
  summary: `commands/s of headwater import ${FILE}`,
  async run({ folder, progress }) {
    progress(NAME);
    await using dev = await startDevProcess({ directory: join(folder, "import") });
    const args = ["cmd/headwater/main.ts", "import", FILE, "--address", dev.commandAddress];
    const startedMs = performance.now();
    try {
      const { stdout } = await promisify(execFile)(process.execPath, args);
      const seconds = (performance.now() - startedMs) / 1000;
      return [{ name: NAME, value: commandsIn(stdout) / seconds, unit: "/s" }];
    } catch (error) {
      const reason = error instanceof Error ? error.message.trim().split("\n").at(-1) : String(error);
      return [{ name: NAME, unit: "/s", note: `not measured: ${reason}` }];
    }
  },
};

/** The importer's account names the commands that were accepted. */
function commandsIn(account: string): number {
  const commands = /([\d,]+) commands/.exec(account)?.[1];
  if (commands === undefined) throw new Error("the importer's account names no number of commands");
  return Number(commands.replaceAll(",", ""));
}
