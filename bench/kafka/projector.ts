/** The projector alone, over events that wait, beside MongoDB that only takes its writes; and all views from nothing, over a long log. */

import { orders as orderView } from "../../internal/orders/projection/order.ts";
import { startSystem } from "../../test/support/processes.ts";
import { count } from "../catching-up.ts";
import { LARGE_LOG_EVENTS, type Measurement, QUICK_LOG_EVENTS } from "../measurement.ts";
import { COMMANDS_PER_ORDER } from "../orders.ts";
import { measureSwitchover } from "../switchover.ts";
import { measureBulkWrites } from "./bulk-writes.ts";
import { fillEvents, ORDER_PREFIX, projectEvents } from "./fill.ts";
import { type KafkaBench, openDocuments } from "./stores.ts";

const EVENTS = 200_000;
const QUICK_EVENTS = 8_000;

const AIM_OF_BULK_WRITES = 0.7;

export const projector: Measurement<KafkaBench> = {
  name: "projector",
  summary: "events/s of the projector alone into MongoDB, beside bare bulk writes of the same documents",
  async run(bench) {
    const events = bench.quick ? QUICK_EVENTS : EVENTS;
    const perSecond = await measureProjection(bench, events);
    bench.progress("bare bulk writes");
    const beside = [{ name: "bare bulk writes", value: events / (await measureBulkWrites(bench, events)), aim: AIM_OF_BULK_WRITES }];
    return [{ name: `projector, ${count(events)} events waiting`, value: perSecond, unit: "/s", beside }];
  },
};

export const rebuild: Measurement<KafkaBench> = {
  name: "rebuild",
  summary: "events/s of a rebuild of all views from a long log",
  async run(bench) {
    const events = bench.quick ? QUICK_LOG_EVENTS : LARGE_LOG_EVENTS;
    return [{ name: `rebuild from ${count(events)} events`, value: await measureProjection(bench, events), unit: "/s" }];
  },
};

export const rebuildBesideLoad: Measurement<KafkaBench> = {
  name: "switchover",
  summary: "a view rebuilt and switched to beside 300 commands/s and 500 reads/s: its rate, and what it does to the reads",
  async run(bench) {
    const events = bench.quick ? QUICK_LOG_EVENTS : LARGE_LOG_EVENTS;
    await measureProjection(bench, events);
    const bulkSeconds = await measureBulkWrites(bench, events, [orderView]);
    await using system = await startSystem(bench.stores, { environment: bench.stores.environment });
    await using documents = await openDocuments(bench.stores);
    const scene = { ...system, exited: system.processes.projector.exited, documents, prefix: ORDER_PREFIX };
    const { rows } = await measureSwitchover(bench, { ...scene, orders: events / COMMANDS_PER_ORDER });
    const [first, ...others] = rows;
    const beside = [{ name: "bare bulk writes", value: events / bulkSeconds }];
    return first === undefined ? others : [{ ...first, beside }, ...others];
  },
};

async function measureProjection(bench: KafkaBench, events: number): Promise<number> {
  await bench.stores.empty();
  const orders = events / COMMANDS_PER_ORDER;
  await fillEvents(bench, orders);
  return projectEvents(bench, orders);
}
