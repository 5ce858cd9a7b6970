/** By hand: node test/linearizability/main.ts [--calls <n>] [--kills <n>] [--clients <n>] [--seed <n>] */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { judgeHistory, recordUnderKills } from "./run.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "3000" },
    kills: { type: "string", default: "20" },
    clients: { type: "string", default: "8" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const [calls, kills, clients, seed] = [values.calls, values.kills, values.clients, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
];
const folder = join(import.meta.dirname, "..", "..", ".cache", "linearizability");

process.stdout.write(`seed ${seed}\n`);
await mkdir(folder, { recursive: true });
const history = await recordUnderKills({ calls, kills, clients, seed });
const path = join(folder, `${seed}.jsonl`);
const { isLinearizable, output } = await judgeHistory(history, path);
process.stdout.write(`${output}\nthe history is in ${path}\n`);
if (!isLinearizable) process.exitCode = 1;
