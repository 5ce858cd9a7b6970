/**
 * A process with clients that have nothing to do, which prints what they cost: `node idle-clients.fixture.ts changed|unchanged host:port`.
 * Changed is kafkajs as the adapter has it.
 */

import { createRequire } from "node:module";
import type * as KafkaJs from "kafkajs";

const CLIENTS = 4;
const OBSERVED_MS = 2_000;

/** What is set for this time or less only polls. */
const POLLING_MS = 1;

export interface IdleCost {
  /** Timers of a millisecond or less that were set while nothing happened. */
  readonly pollingTimers: number;
  /** The warnings that Node gave, by name. */
  readonly warnings: readonly string[];
}

const [, , kind = "", broker = ""] = process.argv;
const warnings: string[] = [];
process.on("warning", ({ name }) => warnings.push(name));

const { Kafka } = kind === "changed" ? await import("../kafkajs.ts") : (createRequire(import.meta.url)("kafkajs") as typeof KafkaJs);
const admins = Array.from({ length: CLIENTS }, () => new Kafka({ brokers: [broker], clientId: "idle", logLevel: 0 }).admin());
for (const admin of admins) {
  await admin.connect();
  await admin.listTopics();
}
const { setTimeout: set } = globalThis;
let pollingTimers = 0;
globalThis.setTimeout = Object.assign((...args: Parameters<typeof set>) => {
  if ((args[1] ?? 0) <= POLLING_MS) pollingTimers += 1;
  return set(...args);
}, set);
await new Promise((resolve) => set(resolve, OBSERVED_MS));
const cost: IdleCost = { pollingTimers, warnings };
for (const admin of admins) await admin.disconnect();
process.stdout.write(JSON.stringify(cost));
