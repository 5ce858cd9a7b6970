/** What one client does: it lives orders' lives, alone and in a race with others, repeats and contradicts itself, and reads back. */

import { setTimeout as delay } from "node:timers/promises";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { Commander } from "./commander.ts";
import { isLivedOut, newSlot, nextCommand, type Sent, type Slot } from "./commands.ts";
import type { Followers } from "./followers.ts";
import type { Attempt } from "./history.ts";
import { createRandom, type Random } from "./random.ts";
import type { Reader } from "./reader.ts";

/** What all clients of a run share. */
export interface Crowd {
  readonly seed: number;
  readonly sessions: number;
  readonly commandsPerSecond: number;
  readonly commander: Commander;
  readonly reader: Reader;
  readonly followers: Followers;
  readonly stopped: AbortSignal;
}

/** Orders that several sessions change at once. */
const SHARED_ORDERS = 16;

/** How often a session turns to an order that others change too. */
const SHARED = 0.4;

const KEPT_FOR_LATER = 20;

/** How often what was written is read back, alone and in a list. */
const READ_BACK = 0.3;
const LIST = 0.05;

/** How often somebody follows a new order. */
const WATCHED = 0.05;
const SUBSCRIBED = 0.02;

/** What a session does with a command. */
type Manner = "once" | "twice at once" | "again later" | "other facts" | "expected version" | "accepted" | "projected" | "asked";

const manners: readonly Manner[] = [
  ...Array.from({ length: 12 }, () => "once" as const),
  "twice at once",
  "again later",
  "other facts",
  "expected version",
  "expected version",
  "accepted",
  "projected",
  "projected",
  "asked",
];

/** Runs all sessions until they are stopped. */
export async function runSessions(crowd: Crowd): Promise<void> {
  const { seed, stopped, commander, reader, followers } = crowd;
  const meanMs = (1_000 * crowd.sessions) / crowd.commandsPerSecond;
  /** No run is without a watch, however its dice fall. */
  let isAnyWatched = false;
  const shared = Array.from({ length: SHARED_ORDERS }, (_, index) => newSlot(createRandom(seed * 31 + index)));
  await Promise.all(Array.from({ length: crowd.sessions }, (_, index) => runSession(index)));

  async function runSession(session: number): Promise<void> {
    const random = createRandom(seed * 1_000 + session);
    const customerId = `session-${session}`;
    const earlier: Sent[] = [];
    let own = newSlot(random, customerId);
    while (!stopped.aborted) {
      await delay(random.next() * 2 * meanMs);
      if (isLivedOut(own)) own = newSlot(random, customerId);
      if (random.chance(SHARED)) await act(session, takeShared(random), random, earlier);
      else {
        const attempt = await act(session, own, random, earlier);
        if (attempt?.orderId === own.orderId && random.chance(LIST)) await reader.list(session, customerId, attempt, random);
      }
    }
  }

  function takeShared(random: Random): Slot {
    const index = random.integer(0, SHARED_ORDERS - 1);
    let slot = shared[index];
    if (slot === undefined || isLivedOut(slot)) slot = newSlot(random);
    shared[index] = slot;
    return slot;
  }

  async function act(session: number, slot: Slot, random: Random, earlier: Sent[]): Promise<Attempt | undefined> {
    const manner = random.pick(manners);
    const again = manner === "again later" ? earlier[random.integer(0, earlier.length)] : undefined;
    if (slot.commands === 0) follow(slot, random);
    const command = again ?? fresh(slot, manner, random);
    const first = random.integer(0, 1);
    const calls = [commander.untilKnown(command, first, random)];
    if (manner === "twice at once") calls.push(commander.untilKnown(command, first + 1, random));
    if (manner === "other facts") {
      const other = commander.prepare(slot.orderId, nextCommand(slot, random), { commandId: command.commandId });
      calls.push(commander.call(other, first + 1, random.integer(1_000, 4_000)));
    }
    const [attempt] = await Promise.all(calls);
    if (attempt === undefined) return undefined;
    if (attempt.result.kind === "ok" && attempt.result.stage === CommandStage.PROJECTED) await reader.look(attempt);
    earlier.unshift(command);
    earlier.splice(KEPT_FOR_LATER);
    if (again === undefined) learn(slot, attempt);
    if (manner === "asked") await commander.ask(command, first + 1);
    if (random.chance(READ_BACK)) await reader.readBack(session, attempt, random);
    return attempt;
  }

  function follow({ orderId }: Slot, random: Random): void {
    const isWatched = random.chance(WATCHED) || !isAnyWatched;
    isAnyWatched = true;
    if (isWatched) followers.watch(orderId, createRandom(random.integer(0, 2 ** 31)));
    if (random.chance(SUBSCRIBED)) followers.subscribe({ orderId }, createRandom(random.integer(0, 2 ** 31)));
  }

  function fresh(slot: Slot, manner: Manner, random: Random): Sent {
    const waitFor = manner === "accepted" ? CommandStage.ACCEPTED : manner === "projected" ? CommandStage.PROJECTED : undefined;
    const { version } = slot;
    return commander.prepare(slot.orderId, nextCommand(slot, random), {
      commandId: random.uuid(),
      ...(manner === "expected version" ? { expectedVersion: version } : {}),
      ...(waitFor === undefined ? {} : { waitFor }),
    });
  }
}

function learn(slot: Slot, { result }: Attempt): void {
  if (result.kind === "ok" || result.kind === "rejected") slot.version = Math.max(slot.version, result.version ?? 0);
  if (result.kind === "failed") slot.step = Math.max(0, slot.step - 1);
  // It was never created: its life begins again.
  if (result.kind === "rejected" && result.reason === "ORDER_NOT_FOUND") slot.step = 0;
}
