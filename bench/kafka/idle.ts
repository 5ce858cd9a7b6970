/** What each process takes of a core while nobody calls it. */

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { startProcess, startSystem } from "../../test/support/processes.ts";
import type { Measurement, Row } from "../measurement.ts";
import { startLoadGenerator } from "../processes.ts";
import type { KafkaBench } from "./stores.ts";

const SECONDS = 30;
const QUICK_SECONDS = 3;

/** Until what the start and the last calls have left to do is done. */
const SETTLE_MS = 5_000;

const AIM_PERCENT = 1;

/** How Linux counts a process's time. */
const TICKS_PER_SECOND = 100;

export const idle: Measurement<KafkaBench> = {
  name: "idle",
  summary: "CPU of each idle process, in percent of a core",
  async run({ stores, quick, progress }) {
    await stores.empty();
    await using system = await startSystem(stores, stores);
    const urls = { HEADWATER_COMMAND_URL: `http://${system.commandAddress}`, HEADWATER_QUERY_URL: `http://${system.queryAddress}` };
    await using gateway = await startProcess("gateway", { ...stores, environment: { ...stores.environment, ...urls } });
    await using load = startLoadGenerator();
    await load.run({ address: system.commandAddress, callers: 8, workload: { kind: "commands", prefix: "before", orders: 100 } });
    await delay(SETTLE_MS);
    const processes = [...Object.values(system.processes), gateway];
    const seconds = quick ? QUICK_SECONDS : SECONDS;
    progress(`${seconds} s without calls`);
    const before = await Promise.all(processes.map(({ pid }) => cpuSeconds(pid)));
    await delay(seconds * 1000);
    const after = await Promise.all(processes.map(({ pid }) => cpuSeconds(pid)));
    return processes.map(({ name }, index): Row => {
      const spent = (after[index] ?? 0) - (before[index] ?? 0);
      return { name: `idle ${name}`, value: (spent * 100) / seconds, unit: "%", atMost: AIM_PERCENT };
    });
  },
};

/** The time that a process has spent on a core, by itself and in the system. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may contain anything; the times are the 12th and 13th of what follows it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
