/** The same on Kafka and MongoDB. */

import { startSystem } from "../../test/support/processes.ts";
import { freshness, measureFreshness } from "../freshness.ts";
import type { Measurement } from "../measurement.ts";
import type { KafkaBench } from "./stores.ts";

export const freshnessOnKafka: Measurement<KafkaBench> = {
  name: freshness.name,
  summary: freshness.summary,
  async run(bench) {
    await bench.stores.empty();
    await using system = await startSystem(bench.stores, bench.stores);
    return await measureFreshness(bench, system);
  },
};
