/** Subscriptions and watches that are followed from one instance to the next, whatever ends them. */

import { setTimeout as delay } from "node:timers/promises";
import { EventStart, OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createGrpcClient } from "../support/grpc-client.ts";
import { clientOf } from "./commander.ts";
import type { ClientHistory } from "./history.ts";
import type { Random } from "./random.ts";
import { reasonOf } from "./results.ts";

export interface Followers {
  /** Every event, or those of a customer, or of an order. */
  subscribe(selection: { readonly orderId?: string; readonly customerId?: string }, random: Random): void;
  watch(orderId: string, random: Random): void;
  stop(): Promise<void>;
}

/** How long a follower stays at one instance, at most. */
const STAY_MS = { min: 1_000, max: 15_000 } as const;
const PAUSE_MS = 200;

export function startFollowers(history: ClientHistory, queryAddresses: readonly string[]): Followers {
  const clients = queryAddresses.map(createGrpcClient);
  const stopped = new AbortController();
  const running: Promise<void>[] = [];
  return {
    subscribe({ orderId = "", customerId = "" }, random) {
      const name = `the subscription to ${orderId || customerId || "everything"}`;
      const subscription = { name, orderId, customerId, delivered: [], position: "" };
      history.subscriptions.push(subscription);
      running.push(follow(random, (instance, signal) => deliver(subscription, instance, signal)));
    },
    watch(orderId, random) {
      const watch = { orderId, versions: [] };
      history.watches.push(watch);
      running.push(follow(random, (instance, signal) => show(watch, instance, signal)));
    },
    async stop() {
      stopped.abort();
      await Promise.all(running);
    },
  };

  async function follow(random: Random, until: (instance: number, signal: AbortSignal) => Promise<void>): Promise<void> {
    for (let instance = random.integer(0, 9); !stopped.signal.aborted; instance += 1) {
      const stay = AbortSignal.any([stopped.signal, AbortSignal.timeout(random.integer(STAY_MS.min, STAY_MS.max))]);
      try {
        await until(instance, stay);
      } catch (error) {
        if (stay.aborted) continue;
        const reason = `followed: ${reasonOf(error)}`;
        history.failedReads.set(reason, (history.failedReads.get(reason) ?? 0) + 1);
        await delay(PAUSE_MS);
      }
    }
  }

  async function deliver(subscription: ClientHistory["subscriptions"][number], instance: number, signal: AbortSignal): Promise<void> {
    const { orderId, customerId, position } = subscription;
    const request = { orderId, customerId, position, start: EventStart.BEGINNING };
    for await (const response of clientOf(clients, instance).follow(OrderQueryService.method.subscribeOrderEvents, request, signal)) {
      for (const { metadata } of response.events) {
        const { aggregateId = "", eventId = "", sequence = 0n } = metadata ?? {};
        subscription.delivered.push({ orderId: aggregateId, eventId, sequence: Number(sequence) });
      }
      subscription.position = response.position;
    }
  }

  async function show({ orderId, versions }: ClientHistory["watches"][number], instance: number, signal: AbortSignal): Promise<void> {
    const request = { orderId, afterVersion: versions.at(-1) ?? 0 };
    for await (const { order } of clientOf(clients, instance).follow(OrderQueryService.method.watchOrder, request, signal)) {
      if (order === undefined) continue;
      const atLeast = (versions.at(-1) ?? 0) + 1;
      history.reads.push({ session: -1, orderId, atLeast, after: "watch", startedAtMs: performance.now(), order });
      versions.push(order.version);
    }
  }
}
