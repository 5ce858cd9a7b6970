/** Commands from the gRPC call to the receipt: in a closed loop, and offered at a rate beside the bare topologies. */

import { startProcess } from "../../test/support/processes.ts";
import { measureCommands } from "../commands.ts";
import { callersText, type Measurement, type Row } from "../measurement.ts";
import { measureOffered } from "./offered.ts";
import type { KafkaBench } from "./stores.ts";

export const commandsOnKafka: Measurement<KafkaBench> = {
  name: "commands",
  summary: "commands/s and latencies of callers and at offered rates, beside a gRPC echo and bare topologies",
  run: async (bench) => [...(await measureCallers(bench)), ...(await measureOffered(bench))],
};

async function measureCallers(bench: KafkaBench): Promise<readonly Row[]> {
  await bench.stores.empty();
  await using _handler = await startProcess("command-handler", bench.stores);
  await using service = await startProcess("command-service", bench.stores);
  const outcomes = await measureCommands(bench, service.address);
  return outcomes.map(({ callers, echo, own }) => ({
    name: `commands, ${callersText(callers)}`,
    value: own.perSecond,
    unit: "/s",
    latency: own.latency,
    beside: [{ name: "gRPC echo", value: echo.perSecond }],
  }));
}
