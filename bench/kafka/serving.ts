/** A query service serves once a projector has prepared its collections, a command service once it has had a reply of its own. */

import { setTimeout as delay } from "node:timers/promises";
import { healthOf } from "../../test/support/health.ts";

const WITHIN_MS = 60_000;
const ASK_AGAIN_MS = 100;

export async function untilServing(address: string): Promise<void> {
  const deadlineMs = performance.now() + WITHIN_MS;
  while ((await healthOf(address)) !== "SERVING") {
    if (performance.now() > deadlineMs) throw new Error(`${address} does not serve`);
    await delay(ASK_AGAIN_MS);
  }
}
