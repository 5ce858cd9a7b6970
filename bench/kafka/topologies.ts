/** The peers of the write side: a command topic in, events and replies out, without a server. Each is a process of its own. */

import { randomUUID } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import type { Topic } from "../../internal/cqrs/log.ts";
import { type GuardedProcess, startGuarded } from "../../test/support/guarded-process.ts";
import type { KafkajsRun } from "../peers/kafkajs/run.ts";
import { type KafkaBench, OWN_PREFIX } from "./stores.ts";
import { streamsClasspath } from "./streams-build.ts";

const root = join(import.meta.dirname, "..", "..");

export const peerTopics = {
  commands: { name: `${OWN_PREFIX}.commands`, retention: "days" },
  events: { name: `${OWN_PREFIX}.events`, retention: "forever" },
  state: { name: `${OWN_PREFIX}.state`, retention: "latest" },
  replies: { name: `${OWN_PREFIX}.replies`, retention: "live" },
} as const satisfies Record<string, Topic>;

/** Peers name a command's reply as its sender named the command, and give all replies one key. */
export const COMMAND_HEADER = "command";
export const REPLY_KEY = "bench";

export interface Topology extends AsyncDisposable {
  /** The group that it consumes with. */
  readonly group: string;
  /** Rejects when it has ended by itself. */
  readonly failed: Promise<never>;
}

/** Bare kafkajs, with records of so many bytes. */
export function startKafkajs(
  { stores, folder }: KafkaBench,
  { commands, bytes }: { readonly commands: string; readonly bytes: KafkajsRun["bytes"] },
): Promise<Topology> {
  const group = `${OWN_PREFIX}-kafkajs-${randomUUID()}`;
  const topics = { commands, events: peerTopics.events.name, state: peerTopics.state.name, replies: peerTopics.replies.name };
  const run: KafkajsRun = { brokers: stores.brokers, group, topics, bytes };
  const program = join(root, "bench", "peers", "kafkajs", "run.ts");
  return start(group, folder, (own) => startGuarded(process.execPath, [program, JSON.stringify(run)], own));
}

/** Kafka Streams, with the orders decided. @throws {Error} it cannot be built */
export async function startStreams({ stores, folder }: KafkaBench, commitIntervalMs: number): Promise<Topology> {
  const classpath = await streamsClasspath();
  const group = `${OWN_PREFIX}-streams-${randomUUID()}`;
  const { commands, events, replies } = peerTopics;
  const args = [stores.brokers.join(), group, commands.name, events.name, replies.name, String(commitIntervalMs), "state"];
  return start(group, folder, (own) => startGuarded("java", ["-Xmx1g", "-cp", classpath, "OrderTopology", ...args], own));
}

async function start(group: string, folder: string, run: (ownFolder: string) => GuardedProcess): Promise<Topology> {
  const running = run(await mkdtemp(join(folder, "topology-")));
  let stopping = false;
  const failed = running.exited.then((): Promise<never> => {
    if (stopping) return new Promise(() => undefined);
    throw new Error(`${group} ended:\n${running.output()}`);
  });
  failed.catch(() => undefined);
  return {
    group,
    failed,
    async [Symbol.asyncDispose]() {
      stopping = true;
      await running.end("SIGTERM");
    },
  };
}
