/** A peer: Emmett on SQLite, in process, with the same orders decided by the same rules. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { type Bench, callersText, type Measurement, notMeasured, type Row } from "./measurement.ts";
import type { EmmettResult, EmmettRun } from "./peers/emmett/run.ts";

const FOLDER = "bench/peers/emmett";

/** As shipped it stops moving with more than one caller. */
const RUNS = [
  { callers: 1, connection: "per operation" },
  { callers: 1, connection: "shared" },
  { callers: 32, connection: "shared" },
] as const satisfies readonly Pick<EmmettRun, "callers" | "connection">[];

const execute = promisify(execFile);

export const emmett: Measurement = {
  name: "emmett",
  summary: "the same commands with Emmett on SQLite, in process, without a network",
  async run(bench) {
    const rows: Row[] = [];
    try {
      await install();
      for (const run of RUNS) rows.push(await measure(bench, run));
    } catch (error) {
      rows.push({ name: "Emmett on SQLite", unit: "/s", note: notMeasured(error) });
    }
    return rows;
  },
};

async function measure({ folder, quick, progress }: Bench, run: (typeof RUNS)[number]): Promise<Row> {
  const name = `Emmett on SQLite, ${callersText(run.callers)}`;
  progress(name);
  const argument: EmmettRun = { ...run, seconds: quick ? 1 : 8, path: `${folder}/emmett-${run.callers}-${run.connection}.sqlite` };
  const { stdout } = await execute(process.execPath, [`${FOLDER}/run.ts`, JSON.stringify(argument)]);
  const { perSecond, latency } = JSON.parse(stdout) as EmmettResult;
  return { name, value: perSecond, unit: "/s", latency, note: `connection: ${run.connection}` };
}

async function install(): Promise<void> {
  if (existsSync(`${FOLDER}/node_modules`)) return;
  process.stderr.write(`installing Emmett (npm ci --prefix ${FOLDER}), which compiles SQLite and takes some minutes\n`);
  await execute("npm", ["ci", "--prefix", FOLDER]);
}
