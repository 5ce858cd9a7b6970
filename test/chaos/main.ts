import { parseArgs } from "node:util";
import { keep } from "./keep.ts";
import { faults } from "./nemesis.ts";
import { runPlanted } from "./planted.ts";
import { plantedFaults } from "./planted-faults.ts";
import { isPossible } from "./provocations.ts";
import { formatReport } from "./report.ts";
import { run } from "./run.ts";

const help = `Breaks a running system in every way we know, for as many faults as wanted,
and then holds every promise against what is left.

Usage: npm run chaos -- [options]

Options:
  --brokers <1|3>    3: everything in Kafka is replicated three times (default 1)
  --members <1|3>    of MongoDB's replica set; of three, a primary that ends is
                     replaced (default: as many as brokers)
  --faults <n>       how many faults, in all eras together (default 200)
  --eras <n>         between two eras the log becomes another one: its topics are
                     made again, or all of Kafka is set back (default 3)
  --seed <n>         chooses the faults and commands (default: any, printed)
  --rate <n>         commands per second (default 100)
  --pace <ms>        between two faults, at most (default 5000)
  --only <text>      only faults, or planted faults, with this in their name
  --planted          instead: plants one fault in the code after the other, and
                     tells by which invariant each was caught
  --list             names all faults and planted faults
  --help
`;

/** How often a planted fault is looked for before it is missed. */
const ATTEMPTS = 3;

const { values: options } = parseArgs({
  options: {
    brokers: { type: "string", default: "1" },
    members: { type: "string" },
    eras: { type: "string", default: "3" },
    list: { type: "boolean", default: false },
    faults: { type: "string", default: "200" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    rate: { type: "string", default: "100" },
    pace: { type: "string", default: "5000" },
    planted: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    help: { type: "boolean", short: "h", default: false },
  },
});

const seed = Number(options.seed);

if (options.help) process.stdout.write(help);
else if (options.list) list();
else if (options.planted) await proveChecker();
else await runChaos();

async function runChaos(): Promise<void> {
  say(`seed ${seed}`);
  const report = await run({
    brokers: Number(options.brokers),
    members: Number(options.members ?? options.brokers),
    eras: Number(options.eras),
    only: options.only,
    faults: Number(options.faults),
    seed,
    sessions: 64,
    commandsPerSecond: Number(options.rate),
    paceMs: Number(options.pace),
    progress: (line) => say(`${new Date().toISOString().slice(11, 19)} ${line}`),
  });
  say(formatReport(report));
  for (const [index, era] of report.eras.entries()) {
    if (era.violations.length > 0) say(`what era ${index + 1} left is in ${await keep(era, `${seed}-${index + 1}`)}`);
  }
  if (report.violations.length > 0) process.exitCode = 1;
}

async function proveChecker(): Promise<void> {
  say(`seed ${seed}`);
  if (options.only === "") {
    const violations = await runPlanted(undefined, seed);
    say(violations.length === 0 ? "nothing planted: nothing found" : `nothing planted, but found:\n${violations.slice(0, 10).join("\n")}`);
    if (violations.length > 0) process.exitCode = 1;
  }
  for (const fault of plantedFaults.filter(({ name }) => name.includes(options.only))) {
    if (!isPossible(fault.provoke)) {
      say(`skipped: ${fault.name} (on this machine nothing can provoke it: ${fault.provoke}, which needs root on Linux)`);
      continue;
    }
    let violations: readonly string[] = [];
    let caught: string | undefined;
    // Some are rare: then other commands bring them to light.
    for (let attempt = 0; attempt < ATTEMPTS && caught === undefined; attempt += 1) {
      violations = await runPlanted(fault, seed + attempt);
      caught = violations.find((violation) => fault.breaks.test(violation));
    }
    const others = [...Map.groupBy(violations, (violation) => violation.slice(0, violation.indexOf(":")))].map(
      ([name, each]) => `${each.length} ${name}`,
    );
    say(`${caught === undefined ? "MISSED" : "caught"}: ${fault.name} (${others.join(", ")})\n  ${caught ?? violations[0] ?? ""}`);
    if (caught === undefined) process.exitCode = 1;
  }
}

function list(): void {
  say(`faults\n${faults.map(({ name }) => `  ${name}`).join("\n")}`);
  say(`planted faults\n${plantedFaults.map(({ name }) => `  ${name}`).join("\n")}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
