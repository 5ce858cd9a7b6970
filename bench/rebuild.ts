/** A rebuild of the largest view of a long log, beside load, and beside SQLite that only writes its documents. */

import { cp } from "node:fs/promises";
import { join } from "node:path";
import { openSystem } from "../cmd/headwater/system/open.ts";
import { orders } from "../internal/orders/projection/order.ts";
import { parseConfig } from "../internal/platform/config.ts";
import { allOptions, systemOptions } from "../internal/process/options.ts";
import { startDevProcess } from "../test/support/dev-process.ts";
import { builtDocuments } from "./log.ts";
import { LARGE_LOG_EVENTS, type Measurement, QUICK_LOG_EVENTS } from "./measurement.ts";
import { writeDocuments } from "./projection.ts";
import { measureSwitchover } from "./switchover.ts";

export const rebuild: Measurement = {
  name: "rebuild",
  summary: "a view rebuilt and switched to beside 300 commands/s and 500 reads/s: its rate, and what it does to the reads",
  async run(bench) {
    const { log } = await builtDocuments(bench, bench.quick ? QUICK_LOG_EVENTS : LARGE_LOG_EVENTS);
    bench.progress("raw SQLite upserts");
    const rawSeconds = writeDocuments(log.directory, join(bench.folder, "raw-view.sqlite"), orders.collection.name);
    // The log and its documents are others' too.
    const directory = join(bench.folder, "rebuild");
    await cp(log.directory, directory, { recursive: true });
    await using dev = await startDevProcess({ directory });
    await using system = await openSystem(parseConfig(systemOptions, { args: ["--data", directory], environment: {}, shared: allOptions }));
    const { documents } = system;
    const { commandAddress, queryAddress, exited } = dev;
    const { prefix, orders: count } = log;
    const { rows } = await measureSwitchover(bench, { commandAddress, queryAddress, exited, documents, prefix, orders: count });
    const [first, ...others] = rows;
    const beside = [{ name: "SQLite, each document once", value: log.events / rawSeconds }];
    return first === undefined ? others : [{ ...first, beside }, ...others];
  },
};
