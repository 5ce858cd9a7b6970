/** The short forms of what one machine must bear; `npm run capacity -- --help` has the long ones. */

import { describe, expect, it } from "vitest";
import { runLargeOrders } from "../capacity/large-orders.ts";
import { runProjectors } from "../capacity/projectors.ts";
import { kafka, mongo } from "../support/servers.ts";

const TIMEOUT_MS = 10 * 60_000;

const progress = (): void => undefined;

describe.skipIf(kafka?.kind !== "program" || mongo?.kind !== "program")("on one machine", () => {
  it(
    "orders of a MiB are answered, and no process needs more memory than the manifests give it",
    async () => {
      const { lines, problems } = await runLargeOrders({ orders: 40, progress });
      process.stdout.write(`${lines.join("\n")}\n`);
      expect(problems).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    "twelve projectors do not end each other over the documents that they share",
    async () => {
      const load = { projectors: 12, partitions: 24, eventsPerSecond: 60, seconds: 20 };
      const { endings, lagsMs, problems } = await runProjectors({ ...load, progress });
      process.stdout.write(`views behind: at most ${Math.round(lagsMs.at(-1) ?? 0)} ms\n`);
      expect([...endings, ...problems]).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
