import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commands } from "./commands.ts";
import { emmett } from "./emmett.ts";
import { freshness } from "./freshness.ts";
import { importing } from "./import.ts";
import { commandsOnKafka } from "./kafka/commands.ts";
import { freshnessOnKafka } from "./kafka/freshness.ts";
import { handler } from "./kafka/handler.ts";
import { idle } from "./kafka/idle.ts";
import { importingOnKafka } from "./kafka/import.ts";
import { listsOnMongo } from "./kafka/lists.ts";
import { projector, rebuild as rebuildAll, rebuildBesideLoad } from "./kafka/projector.ts";
import { readsOnMongo } from "./kafka/reads.ts";
import { type KafkaBench, startStores } from "./kafka/stores.ts";
import { takeover } from "./kafka/takeover.ts";
import { watchingOnKafka } from "./kafka/watching.ts";
import { lists } from "./lists.ts";
import type { Bench, Measurement, Row } from "./measurement.ts";
import { startProgress } from "./progress.ts";
import { projection } from "./projection.ts";
import { reads } from "./reads.ts";
import { rebuild } from "./rebuild.ts";
import { describeMachine, formatMachine, formatTable } from "./report.ts";
import { startUp } from "./start-up.ts";
import { watching } from "./watching.ts";

const embedded: readonly Measurement[] = [commands, emmett, reads, lists, freshness, watching, importing, projection, rebuild, startUp];

const onKafka: readonly Measurement<KafkaBench>[] = [
  commandsOnKafka,
  handler,
  projector,
  rebuildAll,
  rebuildBesideLoad,
  readsOnMongo,
  listsOnMongo,
  freshnessOnKafka,
  watchingOnKafka,
  importingOnKafka,
  takeover,
  idle,
];

const help = `Measures Headwater, each figure beside a ceiling or a peer of the same run: on its embedded log, in about twenty-five minutes, or as
separate processes on Kafka and MongoDB, in about half an hour.

Usage: npm run bench -- [options]

Options:
  --kafka        on Kafka and MongoDB
  --only <name>  one measurement; may be repeated
  --quick        small sizes, to see that it works: the figures say nothing
  --json         the figures as JSON
  --help

Measurements:
${listed(embedded)}

Measurements with --kafka:
${listed(onKafka)}
`;

const { values: options } = parseArgs({
  options: {
    kafka: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const progress = startProgress();
const names = (options.kafka ? onKafka : embedded).map(({ name }) => name);
const unknown = options.only.filter((name) => !names.includes(name));

if (options.help) process.stdout.write(help);
else if (unknown.length > 0) {
  process.stderr.write(`bench: there is no measurement "${unknown.join('", "')}"\n\n${help}`);
  process.exitCode = 2;
} else await run();

async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "headwater-bench-"));
  const machine = describeMachine();
  const bench: Bench = { quick: options.quick, folder, progress: progress.say };
  let rows: readonly Row[] = [];
  try {
    rows = options.kafka ? await runOnKafka(bench) : await runAll(embedded, bench);
  } finally {
    progress.end();
    await rm(folder, { recursive: true, force: true });
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ machine, quick: options.quick, rows }, null, 2)}\n`);
  else
    process.stdout.write(`${formatMachine(machine)}${options.quick ? ", QUICK: these figures say nothing" : ""}\n\n${formatTable(rows)}\n`);
}

async function runOnKafka(bench: Bench): Promise<readonly Row[]> {
  progress.say("Kafka and MongoDB start");
  await using stores = await startStores();
  return await runAll(onKafka, { ...bench, stores });
}

async function runAll<Given extends Bench>(measurements: readonly Measurement<Given>[], bench: Given): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const chosen = measurements.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  for (const measurement of chosen) {
    progress.say(measurement.name);
    rows.push(...(await measurement.run({ ...bench, progress: (text) => progress.say(`${measurement.name}: ${text}`) })));
  }
  progress.say("done");
  return rows;
}

function listed(measurements: readonly Measurement<never>[]): string {
  return measurements.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`).join("\n");
}
