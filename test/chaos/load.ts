/** Many clients at once: sessions with small commands, streams of many, large orders, and those who follow what happens. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { MongoClient } from "mongodb";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { createOrder } from "../../internal/orders/domain/testing/commands.ts";
import { runLargeOrders, runPipelines } from "./bulk.ts";
import { createCommander } from "./commander.ts";
import { customers, largeCustomers } from "./commands.ts";
import { startFollowers } from "./followers.ts";
import { type ClientHistory, emptyHistory } from "./history.ts";
import { createRandom } from "./random.ts";
import { createReader } from "./reader.ts";
import { type Crowd, runSessions } from "./sessions.ts";

export interface LoadOptions {
  readonly commandAddresses: readonly string[];
  readonly queryAddresses: readonly string[];
  readonly mongoUri: string;
  readonly database: string;
  readonly seed: number;
  readonly sessions: number;
  readonly commandsPerSecond: number;
}

export interface Load extends AsyncDisposable {
  readonly history: ClientHistory;
  /** Ends the sessions. Who follows goes on. */
  stop(): Promise<void>;
  /** Ends those who follow. */
  stopFollowing(): Promise<void>;
  /** Sends again what nobody knows the outcome of, until it is known. Returns how many commands stay unknown. */
  settle(deadlineMs: number): Promise<number>;
  /** Sends a command until all views show it. @throws {Error} they do not in time */
  roundTrip(orderId: string, deadlineMs: number): Promise<void>;
}

const ROUND_TRIP_DEADLINE_MS = 10_000;
const ROUND_TRIP_PAUSE_MS = 200;

export function startLoad(options: LoadOptions): Load {
  const history = emptyHistory();
  const stopping = new AbortController();
  const mongo = new MongoClient(options.mongoUri, { serverSelectionTimeoutMS: 2_000, socketTimeoutMS: 5_000, readPreference: "primary" });
  const commander = createCommander(history, options.commandAddresses, stopping.signal);
  const followers = startFollowers(history, options.queryAddresses);
  const crowd: Crowd = { ...options, commander, followers, reader: createReader(history, { ...options, mongo }), stopped: stopping.signal };
  for (const [index, customerId] of ["", ...customers, ...largeCustomers, "session-0", "session-1"].entries()) {
    followers.subscribe({ customerId }, createRandom(options.seed * 13 + index));
  }
  const running = [runSessions(crowd), runPipelines(crowd, history), runLargeOrders(crowd)];

  return {
    history,
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
    stopFollowing: () => followers.stop(),
    settle: (deadlineMs) => commander.settle(deadlineMs),
    async roundTrip(orderId, deadlineMs) {
      const endMs = performance.now() + deadlineMs;
      const command = commander.prepare(orderId, createOrder(), { commandId: randomUUID(), waitFor: CommandStage.PROJECTED });
      for (let round = 0; performance.now() < endMs; round += 1) {
        const { result } = await commander.call(command, round, ROUND_TRIP_DEADLINE_MS);
        if (result.kind === "ok" && result.stage === CommandStage.PROJECTED) return;
        await delay(ROUND_TRIP_PAUSE_MS);
      }
      throw new Error(`a command of ${orderId} did not reach the views in ${deadlineMs} ms`);
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await Promise.all([...running, followers.stop()]);
      await mongo.close();
    },
  };
}
