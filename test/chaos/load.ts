/** Many clients at once: sessions with small commands, streams of many, large orders, and those who follow what happens. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { MongoClient } from "mongodb";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { createOrder } from "../../internal/orders/domain/testing/commands.ts";
import { runLargeOrders, runPipelines } from "./bulk.ts";
import { type Commander, createCommander } from "./commander.ts";
import { customers, largeCustomers } from "./commands.ts";
import { type Followers, startFollowers } from "./followers.ts";
import { type ClientHistory, emptyHistory } from "./history.ts";
import { createRandom } from "./random.ts";
import { createReader } from "./reader.ts";
import { isFinal } from "./results.ts";
import { type Crowd, runSessions } from "./sessions.ts";
import { partitions } from "./setup.ts";

export interface LoadOptions {
  readonly commandAddresses: readonly string[];
  readonly queryAddresses: readonly string[];
  readonly mongoUri: string;
  readonly database: string;
  readonly sessions: number;
  readonly commandsPerSecond: number;
}

export interface RepeatOptions {
  /** The commands of those clients. */
  readonly history: ClientHistory;
  readonly commandAddresses: readonly string[];
  readonly most: number;
  /** So many orders that nobody had created. */
  readonly further: number;
  readonly deadlineMs: number;
}

export interface Load extends AsyncDisposable {
  readonly history: ClientHistory;
  /** Sends accepted commands of others again, under their ids, until all are answered. */
  repeat(options: RepeatOptions): Promise<void>;
  /** Starts the sessions and those who follow. */
  begin(options: LoadOptions): void;
  /** Ends the sessions. Who follows goes on. */
  stop(): Promise<void>;
  /** Ends those who follow. */
  stopFollowing(): Promise<void>;
  /** Sends again what nobody knows the outcome of, until it is known. Returns how many commands stay unknown. */
  settle(deadlineMs: number): Promise<number>;
  /** Sends a command of a partition until all views show it. @throws {Error} they do not in time */
  roundTrip(partition: number, deadlineMs: number): Promise<void>;
}

const ROUND_TRIP_DEADLINE_MS = 10_000;
const ROUND_TRIP_PAUSE_MS = 200;
const REPEAT_DEADLINE_MS = 20_000;

/** How many commands go on one stream when they are repeated. */
const REPEATED_AT_ONCE = 250;

/** A load that has not begun, on the history of another or on none. */
export function createLoad({ seed, history = emptyHistory() }: { readonly seed: number; readonly history?: ClientHistory }): Load {
  const stopping = new AbortController();
  let running: readonly Promise<void>[] = [];
  let commander: Commander = createCommander(history, [], stopping.signal);
  let followers: Followers | undefined;
  let mongo: MongoClient | undefined;

  return {
    history,
    async repeat({ history: former, commandAddresses, most, further, deadlineMs }) {
      const endMs = performance.now() + deadlineMs;
      const repeater = createCommander(history, commandAddresses, stopping.signal);
      const random = createRandom(seed * 17);
      const answered = new Set(former.attempts.filter(isFinal).map(({ commandId }) => commandId));
      const again = former.sent.filter(({ commandId }) => answered.has(commandId)).slice(0, most);
      const others = Array.from({ length: further }, () =>
        repeater.prepare(random.uuid(), createOrder({ customerId: random.pick(customers) }), { commandId: random.uuid() }),
      );
      const all = [...others, ...again];
      for (let from = 0; from < all.length; from += REPEATED_AT_ONCE) {
        for (let round = 0; performance.now() < endMs; round += 1) {
          const attempts = await repeater.execute(all.slice(from, from + REPEATED_AT_ONCE), round, REPEAT_DEADLINE_MS);
          if (attempts.every(isFinal)) break;
        }
      }
    },
    begin(options) {
      mongo = new MongoClient(options.mongoUri, { serverSelectionTimeoutMS: 2_000, socketTimeoutMS: 5_000, readPreference: "primary" });
      commander = createCommander(history, options.commandAddresses, stopping.signal);
      followers = startFollowers(history, options.queryAddresses);
      const reader = createReader(history, { ...options, mongo });
      const crowd: Crowd = { ...options, seed, commander, followers, reader, stopped: stopping.signal };
      for (const [index, customerId] of ["", ...customers, ...largeCustomers, "session-0", "session-1"].entries()) {
        followers.subscribe({ customerId }, createRandom(seed * 13 + index));
      }
      running = [runSessions(crowd), runPipelines(crowd, history), runLargeOrders(crowd)];
    },
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
    stopFollowing: () => followers?.stop() ?? Promise.resolve(),
    settle: (deadlineMs) => commander.settle(deadlineMs),
    async roundTrip(partition, deadlineMs) {
      const endMs = performance.now() + deadlineMs;
      const options = { commandId: randomUUID(), waitFor: CommandStage.PROJECTED };
      const command = commander.prepare(orderIn(partition), createOrder(), options);
      for (let round = 0; performance.now() < endMs; round += 1) {
        const { result } = await commander.call(command, round, ROUND_TRIP_DEADLINE_MS);
        if (result.kind === "ok" && result.stage === CommandStage.PROJECTED) return;
        await delay(ROUND_TRIP_PAUSE_MS);
      }
      throw new Error(`a command of partition ${partition} did not reach the views in ${deadlineMs} ms`);
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await Promise.all([...running, followers?.stop()]);
      await mongo?.close();
    },
  };
}

function orderIn(partition: number): string {
  for (;;) {
    const id = randomUUID();
    if (partitionOf(id, partitions) === partition) return id;
  }
}
