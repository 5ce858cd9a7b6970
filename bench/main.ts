import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commands } from "./commands.ts";
import { emmett } from "./emmett.ts";
import { importing } from "./import.ts";
import type { Bench, Measurement, Row } from "./measurement.ts";
import { projection } from "./projection.ts";
import { reads } from "./reads.ts";
import { describeMachine, formatMachine, formatTable } from "./report.ts";
import { startUp } from "./start-up.ts";

const measurements: readonly Measurement[] = [commands, emmett, reads, importing, projection, startUp];

const help = `Measures Headwater on its embedded log, each figure beside a ceiling or a peer of the same run. Takes about a quarter of an hour.

Usage: npm run bench -- [options]

Options:
  --only <name>  one measurement; may be repeated
  --quick        small sizes, to see that it works: the figures say nothing
  --json         the figures as JSON
  --help

Measurements:
${measurements.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`).join("\n")}
`;

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const unknown = options.only.filter((name) => measurements.every((measurement) => measurement.name !== name));

if (options.help) process.stdout.write(help);
else if (unknown.length > 0) {
  process.stderr.write(`bench: there is no measurement "${unknown.join('", "')}"\n\n${help}`);
  process.exitCode = 2;
} else await run();

async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "headwater-bench-"));
  const machine = describeMachine();
  const rows: Row[] = [];
  try {
    const bench: Bench = { quick: options.quick, folder, progress };
    const chosen = measurements.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
    for (const measurement of chosen) rows.push(...(await measurement.run(bench)));
  } finally {
    progress("");
    await rm(folder, { recursive: true, force: true });
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ machine, quick: options.quick, rows }, null, 2)}\n`);
  else
    process.stdout.write(`${formatMachine(machine)}${options.quick ? ", QUICK: these figures say nothing" : ""}\n\n${formatTable(rows)}\n`);
}

/** On a terminal each state replaces the one before; elsewhere there are none. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
}
