import { parseArgs } from "node:util";
import { runLargeOrders } from "./large-orders.ts";
import { runProjectors } from "./projectors.ts";

const help = `What one machine must bear, with real servers; each ends with what it found.

Usage: npm run capacity -- <what> [options]

  large-orders     orders of nearly a MiB, through every process, each within the
                   memory that the manifests give it
    --orders <n>       (default 600)

  projectors       many projectors that share documents, under a steady load
    --projectors <n>   (default 12)
    --partitions <n>   (default 24)
    --rate <n>         events per second (default 200)
    --seconds <n>      (default 180)
    --max-lag <ms>     how far views may be behind (default 2000)

  --help
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    orders: { type: "string", default: "600" },
    projectors: { type: "string", default: "12" },
    partitions: { type: "string", default: "24" },
    rate: { type: "string", default: "200" },
    seconds: { type: "string", default: "180" },
    "max-lag": { type: "string", default: "2000" },
    help: { type: "boolean", short: "h", default: false },
  },
});

const [what] = positionals;
const progress = (line: string): void => say(`${new Date().toISOString().slice(11, 19)} ${line}`);

if (values.help || what === undefined) process.stdout.write(help);
else if (what === "large-orders") await largeOrders();
else if (what === "projectors") await projectors();
else throw new RangeError(`there is no ${what}; --help names what there is`);

async function largeOrders(): Promise<void> {
  const { lines, problems } = await runLargeOrders({ orders: Number(values.orders), progress });
  say(lines.join("\n"));
  conclude(problems);
}

async function projectors(): Promise<void> {
  const { events, endings, lagsMs, problems } = await runProjectors({
    projectors: Number(values.projectors),
    partitions: Number(values.partitions),
    eventsPerSecond: Number(values.rate),
    seconds: Number(values.seconds),
    progress,
  });
  const at = (share: number): number => Math.round(lagsMs[Math.min(lagsMs.length - 1, Math.floor(lagsMs.length * share))] ?? 0);
  say(`${events} events; views behind: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, at most ${at(1)} ms, of ${lagsMs.length}`);
  const late = lagsMs.filter((lag) => lag > Number(values["max-lag"])).length;
  conclude([...endings, ...problems, ...(late === 0 ? [] : [`${late} times views were further behind than ${values["max-lag"]} ms`])]);
}

function conclude(problems: readonly string[]): void {
  const counted = [...Map.groupBy(problems, (problem) => problem)].map(([problem, { length }]) =>
    length > 1 ? `${problem} (${length} times)` : problem,
  );
  say(problems.length === 0 ? "everything was answered, and nothing ended" : counted.join("\n"));
  if (problems.length > 0) process.exitCode = 1;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
