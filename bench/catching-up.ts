/** Waits until the write side or the read side has caught up with its log. */

import { setTimeout as delay } from "node:timers/promises";
import type { Documents } from "../internal/cqrs/documents.ts";
import { type Log, LogUnavailableError } from "../internal/cqrs/log.ts";
import { orderViews } from "../internal/orders/projection/views.ts";
import { orderGroups, orderTopics } from "../test/support/order-domain.ts";

const ASK_AGAIN_MS = 20;

/** The first group of a new broker waits for its coordinator. */
const COORDINATOR_WITHIN_MS = 30_000;

/** Until every command has been decided. */
export async function untilDecided(log: Log): Promise<void> {
  await untilConsumed(log, { group: orderGroups.handler, topic: orderTopics.commands.name });
}

/** Until a group has committed that it consumed a whole topic. Returns how many records it consumed per second. */
export async function untilConsumed(log: Log, { group, topic }: { readonly group: string; readonly topic: string }): Promise<number> {
  const end = sum(await log.ends(topic));
  const deadlineMs = performance.now() + COORDINATOR_WITHIN_MS;
  return untilReached(end, async () => {
    try {
      return sum(await log.committed(group, topic));
    } catch (error) {
      if (!(error instanceof LogUnavailableError) || performance.now() > deadlineMs) throw error;
      return 0;
    }
  });
}

/** Until all views show so many events. Returns how many they took over per second. */
export function untilProjected(documents: Documents, events: number, onProgress: (applied: number) => void): Promise<number> {
  return untilReached(events, async () => {
    const checkpoints = await Promise.all(orderViews.map((view) => documents.checkpoints(view.collection.name)));
    const applied = Math.min(...checkpoints.map((ofView) => sum(ofView.map(({ sequence }) => sequence))));
    onProgress(applied);
    return applied;
  });
}

export function count(number: number): string {
  return number.toLocaleString("en");
}

/** The rate counts from the first progress that was seen: before it, something started. */
async function untilReached(end: number, ask: () => Promise<number>): Promise<number> {
  let first: { readonly reached: number; readonly atMs: number } | undefined;
  while (true) {
    const reached = await ask();
    const nowMs = performance.now();
    if (reached > 0) first ??= { reached, atMs: nowMs };
    if (reached >= end) return first === undefined ? 0 : ((reached - first.reached) * 1000) / (nowMs - first.atMs);
    await delay(ASK_AGAIN_MS);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
