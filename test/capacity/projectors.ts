/** Many projectors of many partitions, which share documents, under a steady load: none ends another, and views stay close behind. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { startKafka } from "../support/kafka-server.ts";
import { startMongo } from "../support/mongo-server.ts";
import { newOrder } from "../support/orders.ts";
import { startProcess, type TestProcess } from "../support/processes.ts";

export interface ProjectorsOptions {
  readonly projectors: number;
  readonly partitions: number;
  readonly eventsPerSecond: number;
  readonly seconds: number;
  readonly progress: (line: string) => void;
}

export interface ProjectorsReport {
  readonly endings: readonly string[];
  readonly events: number;
  /** From a decision until all views show it, as callers see it who wait for it. */
  readonly lagsMs: readonly number[];
  /** Commands that were not answered, and waits that ended before the views showed the command. */
  readonly problems: readonly string[];
}

/** How often somebody waits for the views. */
const PROBE_EVERY_MS = 250;

/** A wait for longer is a view that stands still. */
const PROBE_DEADLINE_MS = 30_000;
const EVENTS_PER_ORDER = 2;

export async function runProjectors(options: ProjectorsOptions): Promise<ProjectorsReport> {
  const { projectors, partitions, eventsPerSecond, seconds, progress } = options;
  await using stack = new AsyncDisposableStack();
  const kafka = stack.use(await startKafka());
  const mongo = stack.use(await startMongo());
  const environment = { HEADWATER_PARTITIONS: String(partitions) };
  const servers = { brokers: kafka.brokers, mongoUri: mongo.uri, environment };
  const start = async (name: TestProcess["name"]): Promise<TestProcess> => stack.use(await startProcess(name, servers));
  const service = await Promise.all([start("command-handler"), start("command-service")]).then(([, started]) => started);
  const running: TestProcess[] = [];
  for (let index = 0; index < projectors; index += 1) running.push(await start("projector"));
  progress(`${projectors} projectors work on ${partitions} partitions`);

  const endings: string[] = [];
  const problems: string[] = [];
  const lagsMs: number[] = [];
  let [isOver, events] = [false, 0];
  for (const process_ of running) {
    void process_.exited.then((how) => isOver || endings.push(`${how}: ${process_.output().split("\n").at(-1)}`));
  }
  using client = createGrpcClient(service.address);
  const endMs = performance.now() + seconds * 1_000;
  const pending = new Set<Promise<void>>();
  const begin = (act: () => Promise<void>): void => {
    const running_ = act()
      .catch((error: unknown) => void problems.push(String(error)))
      .finally(() => pending.delete(running_));
    pending.add(running_);
  };
  const loading = every((1_000 * EVENTS_PER_ORDER) / eventsPerSecond, endMs, () =>
    begin(async () => {
      await order(client, CommandStage.DECIDED);
      events += EVENTS_PER_ORDER;
    }),
  );
  const probing = every(PROBE_EVERY_MS, endMs, () =>
    begin(async () => {
      const lag = await order(client, CommandStage.PROJECTED);
      if (lag === undefined) problems.push(`a command was not projected in ${PROBE_DEADLINE_MS} ms`);
      else lagsMs.push(lag);
      events += EVENTS_PER_ORDER;
    }),
  );
  await Promise.all([loading, probing]);
  await Promise.all(pending);
  isOver = true;
  return { endings, events, lagsMs: lagsMs.toSorted((a, b) => a - b), problems };
}

/** Creates and places an order, and says how long after the first decision all views showed the second; undefined: not in time. */
async function order(client: GrpcClient, waitFor: CommandStage): Promise<number | undefined> {
  const orderId = randomUUID();
  const { createOrder, placeOrder } = OrderCommandService.method;
  const [created, placed] = [{ commandId: randomUUID() }, { commandId: randomUUID(), waitFor }];
  await untilTaken(() => client.call(createOrder, { ...newOrder(orderId), options: created }, { deadlineMs: PROBE_DEADLINE_MS }));
  const decidedAtMs = performance.now();
  const { receipt } = await untilTaken(() => client.call(placeOrder, { orderId, options: placed }, { deadlineMs: PROBE_DEADLINE_MS }));
  return receipt?.stage === waitFor ? performance.now() - decidedAtMs : undefined;
}

/**
 * Calls again when a starved server asks for it, as every client has to; the wait counts.
 *
 * @throws {CallError} refused for good, or for longer than a probe may take
 */
async function untilTaken<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  const endMs = performance.now() + PROBE_DEADLINE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CallError) || error.retryAfterMs === undefined || performance.now() > endMs) throw error;
      await delay(error.retryAfterMs);
    }
  }
}

async function every(intervalMs: number, endMs: number, act: () => void): Promise<void> {
  for (let nextMs = performance.now(); nextMs < endMs; nextMs += intervalMs) {
    await delay(Math.max(0, nextMs - performance.now()));
    act();
  }
}
