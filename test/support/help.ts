/** The options of the processes, as their --help tells them. */

import { execFile } from "node:child_process";
import { hostname } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");

export const processNames = ["command-service", "command-handler", "projector", "query-service", "gateway"] as const;

export interface ToldOption {
  readonly flag: string;
  readonly variable: string;
  readonly help: string;
  /** Empty if there is none. */
  readonly fallback: string;
}

/** The options of a process, of `headwater dev`, or of the commands for operators, by their flag. */
export async function optionsOf(name: (typeof processNames)[number] | "dev" | "operator"): Promise<ReadonlyMap<string, ToldOption>> {
  const command = { dev: ["cmd/headwater/main.ts", "dev"], operator: ["cmd/headwater/main.ts", "topics"] };
  const { stdout } = await run(
    process.execPath,
    [...(name === "dev" || name === "operator" ? command[name] : [`cmd/${name}/main.ts`]), "--help"],
    { cwd: root },
  );
  const option = /^ {2}--(?<flag>\S+) +(?<help>.+)\n +(?<variable>HEADWATER_\w+)(?:, default (?<fallback>.+))?$/gm;
  return new Map(
    [...stdout.matchAll(option)].map(({ groups }) => {
      const { flag = "", variable = "", help = "", fallback = "" } = groups ?? {};
      return [flag, { flag, variable, help, fallback: fallback === hostname() ? "the host's name" : fallback }];
    }),
  );
}
