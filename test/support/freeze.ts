import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** Stops a process as a machine does that hangs, until a SIGCONT. Resolves when none of it runs: a thread notices the signal when it is its turn. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  while (!(await isStill(pid))) await delay(5);
}

/** Of the states of all its threads, as Linux tells them; elsewhere nobody does. */
async function isStill(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const states = await Promise.all(
    // A thread may end meanwhile.
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => ") T")),
  );
  return states.every((stat) => /^[TZ]/.test(stat.slice(stat.lastIndexOf(")") + 2)));
}
