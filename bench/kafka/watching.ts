/** The same on Kafka and MongoDB, with the memory of the query service. */

import { startSystem } from "../../test/support/processes.ts";
import type { Measurement } from "../measurement.ts";
import { measureWatching, watching } from "../watching.ts";
import type { KafkaBench } from "./stores.ts";

export const watchingOnKafka: Measurement<KafkaBench> = {
  name: watching.name,
  summary: watching.summary,
  async run(bench) {
    await bench.stores.empty();
    await using system = await startSystem(bench.stores, bench.stores);
    const { commandAddress, queryAddress, processes } = system;
    return await measureWatching(bench, { commandAddress, queryAddress, pid: processes["query-service"].pid });
  },
};
