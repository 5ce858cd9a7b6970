/** What brings planted faults to light. A system that has none must pass through it. */

import { setTimeout as delay } from "node:timers/promises";
import { orderTopics } from "../support/order-domain.ts";
import { canMount, fill, mountSmall, unmount } from "./copy-faults.ts";
import { dropDocuments } from "./documents.ts";
import type { Scene } from "./faults.ts";
import { changeSetting, giveRightBack, takeRight, withAdmin } from "./kafka-admin.ts";
import { SMALL_MESSAGE_BYTES, setBack } from "./operator-faults.ts";
import type { Moment } from "./points.ts";

const POINT_DEADLINE_MS = 15_000;
const PAST_SESSION_MS = 12_000;
const RESTARTS = 6;
const RESTART_EVERY_MS = 5_000;

/** How long something is away: many commands come meanwhile. */
const AWAY_MS = 5_000;

/** Room for all of the state, until something else takes it. */
const DISK_KIBIBYTES = 32 * 1_024;
/** Handlers have taken over by then, and work. */
const TAKEOVER_MS = 12_000;
const DISK_FULL_MS = 20_000;

export const provocations = {
  "a handler stands still past its session": stallHandler,
  "handlers die one after the other": (scene) => killHandlersInTurn(scene),
  "handlers die before they commit": (scene) => killHandlers(scene, "EndTxn", "before"),
  "handlers are stopped again and again": restartHandlers,
  "projectors are away": async ({ system }) => {
    const release = await system.hold("projector");
    await delay(AWAY_MS);
    release();
  },
  "projectors die before their checkpoints": (scene) => killProjectors(scene, "checkpoints", "before"),
  "projectors die before their documents": (scene) => killProjectors(scene, "documents", "before"),
  "events are corrupted on their way": corruptEvents,
  "appends are lost": loseAppends,
  "appends are refused": async ({ servers }) => {
    const right = { of: "topic", name: orderTopics.commands.name, operation: "write" } as const;
    await withAdmin(servers.addresses, (admin) => takeRight(admin, right));
    await delay(AWAY_MS);
    await withAdmin(servers.addresses, (admin) => giveRightBack(admin, right));
  },
  "documents are dropped": (scene) =>
    setBack(scene, async (...place) => {
      await dropDocuments(...place);
      // Until the projectors are back, whoever reads finds nothing.
      await delay(2 * AWAY_MS);
    }),
  "MongoDB dies again and again": async ({ servers }) => {
    for (let round = 0; round < 5; round += 1) {
      await servers.mongo.kill();
      await servers.mongo.restart();
      await delay(2_000);
    }
  },
  "disks are full": fillDisks,
  /** From now on, so that their commands stay undecided. The others must not wait for them. */
  "large events are refused": async ({ servers }) => {
    const bytes = String(SMALL_MESSAGE_BYTES);
    await withAdmin(servers.addresses, (admin) => changeSetting(admin, orderTopics.events.name, "max.message.bytes", bytes));
  },
} as const satisfies Readonly<Record<string, (scene: Scene) => Promise<void>>>;

export type Provocation = keyof typeof provocations;

/** All but what nobody gets over, one after the other. */
export async function provokeAll(scene: Scene): Promise<void> {
  for (const provocation of Object.keys(provocations) as Provocation[]) {
    if (provocation !== "large events are refused" && isPossible(provocation)) await provocations[provocation](scene);
  }
}

/** Whether this machine lets us. */
export function isPossible(provocation: Provocation | undefined): boolean {
  return provocation !== "disks are full" || canMount;
}

/** The event loop of a handler stands still before it asks for something. */
async function stallHandler({ system }: Scene): Promise<void> {
  const [handler] = system.named("command-handler");
  const order = { operation: "AddPartitionsToTxn", moment: "before", stallMs: PAST_SESSION_MS } as const;
  await handler?.order(order, AbortSignal.timeout(POINT_DEADLINE_MS));
  await delay(PAST_SESSION_MS);
}

async function killHandlersInTurn({ system }: Scene): Promise<void> {
  for (const handler of system.named("command-handler")) {
    await handler.kill("SIGKILL");
    await delay(2_000);
  }
}

async function killHandlers({ system }: Scene, operation: string, moment: Moment): Promise<void> {
  for (const handler of system.named("command-handler")) {
    await handler.order({ operation, moment, stallMs: null }, AbortSignal.timeout(POINT_DEADLINE_MS));
    await delay(2_000);
  }
}

/** Handlers begin again with nothing but their copies. */
async function restartHandlers({ system }: Scene): Promise<void> {
  for (let round = 0; round < RESTARTS; round += 1) {
    await delay(RESTART_EVERY_MS);
    for (const handler of system.named("command-handler")) await handler.kill("SIGTERM");
  }
}

async function killProjectors({ system }: Scene, operation: string, moment: Moment): Promise<void> {
  for (const projector of system.named("projector")) {
    await projector.order({ operation, moment, stallMs: null }, AbortSignal.timeout(POINT_DEADLINE_MS));
    await delay(1_000);
  }
}

/** One letter of an event changes on its way to the projectors. */
async function corruptEvents({ servers }: Scene): Promise<void> {
  const signal = AbortSignal.timeout(POINT_DEADLINE_MS);
  await Promise.all(
    servers.proxies.map((proxy) => proxy.corrupt(/headwater-projector/, Buffer.from("teapot"), Buffer.from("teapod"), signal)),
  );
}

/** Appends of a command service never arrive, and it is killed before it repeats them. */
async function loseAppends({ servers, system }: Scene): Promise<void> {
  for (const service of system.named("command-service")) {
    for (const proxy of servers.proxies) {
      proxy.hold({ client: /headwater-command-service$/, directions: ["requests"], durationMs: 4_000 });
    }
    await delay(3_000);
    for (const proxy of servers.proxies) proxy.cut();
    await service.kill("SIGKILL");
    await delay(1_500);
  }
}

/** The copies of all handlers lie on disks that take no more after a while. */
async function fillDisks({ system }: Scene): Promise<void> {
  const handlers = system.named("command-handler");
  const folders: string[] = [];
  await Promise.all(
    handlers.map((handler) =>
      handler.killAndChange(async (folder) => {
        await mountSmall(folder, DISK_KIBIBYTES);
        folders.push(folder);
      }),
    ),
  );
  await delay(TAKEOVER_MS);
  await Promise.all(folders.map(fill));
  await delay(DISK_FULL_MS);
  await Promise.all(handlers.map((handler) => handler.killAndChange(unmount)));
}
