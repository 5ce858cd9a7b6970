/** Commands from the gRPC call to the durable decision, beside a server that only answers, and beside SQLite that only writes. */

import { join } from "node:path";
import { startDevProcess } from "../test/support/dev-process.ts";
import { type Contender, compare, type Figure } from "./comparison.ts";
import { type Bench, callersText, type Measurement, type Row } from "./measurement.ts";
import { COMMANDS_PER_ORDER } from "./orders.ts";
import { startEcho, startLoadGenerator } from "./processes.ts";
import { measureRawWrites } from "./raw-writes.ts";

const CALLERS = [1, 32, 256];

/** The echo is the ceiling of the server; the log and the decision may cost as much again. */
const AIM_OF_ECHO = { callers: 256, share: 0.5 };

/** The same load on an echo and on Headwater. */
export interface Outcome {
  readonly callers: number;
  readonly echo: Figure;
  readonly own: Figure;
}

export const commands: Measurement = {
  name: "commands",
  summary: "commands/s and latencies, beside a gRPC echo and raw SQLite",
  async run(bench) {
    const directory = join(bench.folder, "commands");
    const outcomes = await measure(bench, directory);
    bench.progress("raw SQLite writes");
    return outcomes.map((outcome) =>
      rowOf(outcome, measureRawWrites({ directory, prefix: prefixOf(outcome.callers), folder: bench.folder })),
    );
  },
};

async function measure(bench: Bench, directory: string): Promise<readonly Outcome[]> {
  await using own = await startDevProcess({ directory });
  return await measureCommands(bench, own.commandAddress);
}

/** Commands in a closed loop, at a server's address. */
export async function measureCommands({ quick, progress }: Bench, address: string): Promise<readonly Outcome[]> {
  await using echo = await startEcho();
  await using load = startLoadGenerator();
  const outcomes: Outcome[] = [];
  for (const callers of CALLERS) {
    progress(`commands, ${callersText(callers)}`);
    const options = { callers, rounds: quick ? 1 : 5, roundSeconds: quick ? 0.3 : 3 };
    const contenders = [echo.address, address].map(
      (contender): Contender => ({
        address: contender,
        workload: (calls, round) => ({
          kind: "commands",
          prefix: `${prefixOf(callers)}${round}`,
          orders: Math.ceil(calls / COMMANDS_PER_ORDER),
        }),
      }),
    );
    const [echoFigure, ownFigure] = await compare(load, contenders, options);
    if (echoFigure !== undefined && ownFigure !== undefined) outcomes.push({ callers, echo: echoFigure, own: ownFigure });
  }
  return outcomes;
}

function prefixOf(callers: number): string {
  return `callers-${callers}-round-`;
}

function rowOf({ callers, echo, own }: Outcome, raw: ReturnType<typeof measureRawWrites>): Row {
  const aim = callers === AIM_OF_ECHO.callers ? { aim: AIM_OF_ECHO.share } : {};
  return {
    name: `commands, ${callersText(callers)}`,
    value: own.perSecond,
    unit: "/s",
    latency: own.latency,
    beside: [
      { name: "gRPC echo", value: echo.perSecond, ...aim },
      { name: `SQLite, ${raw.batch} per fsync`, value: raw.perSecond },
    ],
  };
}
