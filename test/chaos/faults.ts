/** What can go wrong on purpose, each with how often it is chosen. A fault resolves with false if it could not happen. */

import { setTimeout as delay } from "node:timers/promises";
import { Kafka } from "../../internal/log/kafka/kafkajs.ts";
import { losses } from "../support/kafka-proxy.ts";
import type { Api } from "../support/kafka-wire.ts";
import type { MongoMember } from "../support/mongo-server.ts";
import { orderTopics } from "../support/order-domain.ts";
import type { SetBack } from "./history.ts";
import { commandServicePoints, handlerPoints, type Point, projectorPoints } from "./points.ts";
import type { Random } from "./random.ts";
import type { ChaosServers } from "./servers.ts";
import type { SupervisedName, SupervisedProcess } from "./supervise.ts";
import type { ChaosSystem } from "./system.ts";

export interface Scene {
  readonly servers: ChaosServers;
  readonly system: ChaosSystem;
  readonly partitions: number;
  readonly database: string;
  /** Servers that are down or frozen now, so that a second fault of the same kind does not meet the first. */
  readonly busy: Set<string>;
  /** When documents were set back. */
  readonly setBacks: SetBack[];
  /** Told of each bad record that is in the log. */
  readonly onPoison: () => void;
}

export interface Fault {
  readonly name: string;
  readonly weight: number;
  /** Begins; what it did is in the text, and `over` resolves with whether it happened when it is over. */
  begin(scene: Scene, random: Random): Begun;
}

export interface Begun {
  readonly text: string;
  readonly over: Promise<boolean>;
}

/** What is not reached so soon does not come any more: it is called off. */
const POINT_DEADLINE_MS = 6_000;

/** Longer than a session of a group, so that others take over. */
const PAST_SESSION = { min: 7_500, max: 12_000 } as const;

const transactional: readonly Api[] = ["AddPartitionsToTxn", "Produce", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn"];
const group: readonly Api[] = ["JoinGroup", "SyncGroup", "Heartbeat", "FindCoordinator", "OffsetFetch"];
const opening: readonly Api[] = ["InitProducerId", "Metadata", "ListOffsets", "JoinGroup", "SyncGroup", "FindCoordinator"];

export const processFaults: readonly Fault[] = [
  ended("command-handler", "SIGKILL", 8),
  ended("command-handler", "SIGTERM", 3),
  ended("command-service", "SIGKILL", 4),
  ended("command-service", "SIGTERM", 1),
  ended("projector", "SIGKILL", 4),
  ended("projector", "SIGTERM", 1),
  ended("query-service", "SIGKILL", 3),
  killedAt("command-handler", handlerPoints, 12),
  killedAt("projector", projectorPoints, 8),
  killedAt("command-service", commandServicePoints, 4),
  stalledAt("command-handler", handlerPoints, { min: 500, max: 3_000 }, 3),
  stalledAt("command-handler", handlerPoints, PAST_SESSION, 4),
  stalledAt("projector", projectorPoints, PAST_SESSION, 2),
  frozen("command-handler", PAST_SESSION, 4),
  frozen("projector", PAST_SESSION, 2),
  frozen("command-service", { min: 1_000, max: 4_000 }, 2),
  frozen("query-service", { min: 1_000, max: 4_000 }, 1),
  {
    name: "kill broker",
    weight: 3,
    begin(scene, random) {
      const broker = random.pick(scene.servers.brokers);
      const downMs = random.integer(200, 5_000);
      return serverFault(scene, "broker", `${broker.address}, down for ${downMs} ms`, async () => {
        await broker.kill();
        await delay(downMs);
        await broker.restart();
      });
    },
  },
  {
    name: "restart broker",
    weight: 1,
    begin(scene, random) {
      const broker = random.pick(scene.servers.brokers);
      return serverFault(scene, "broker", broker.address, () => broker.restart());
    },
  },
  {
    name: "freeze broker",
    weight: 2,
    begin(scene, random) {
      const broker = random.pick(scene.servers.brokers);
      const forMs = random.integer(500, 6_000);
      return serverFault(scene, "broker", `${broker.address} for ${forMs} ms`, () => freeze(broker.pid, forMs));
    },
  },
  {
    name: "kill mongod",
    weight: 3,
    begin(scene, random) {
      const downMs = random.integer(100, 4_000);
      return serverFault(scene, "mongod", `the primary, down for ${downMs} ms`, async () => {
        const member = await primaryOf(scene);
        await member.kill();
        await delay(downMs);
        await member.restart();
      });
    },
  },
  {
    name: "freeze mongod",
    weight: 1,
    begin(scene, random) {
      const forMs = random.integer(500, 8_000);
      return serverFault(scene, "mongod", `the primary for ${forMs} ms`, async () => freeze((await primaryOf(scene)).pid, forMs));
    },
  },
  reset("Kafka", (servers) => servers.proxies),
  reset("MongoDB", (servers) => servers.mongoProxies),
  lost("command-handler", transactional, 9),
  lost("command-service", ["Produce"], 4),
  lost("command-(handler|service)|projector", ["Fetch"], 3),
  lost("command-handler|projector", group, 3),
  {
    name: "loss at a start",
    weight: 3,
    begin(scene, random) {
      const process = random.pick([...scene.system.named("command-handler"), ...scene.system.named("projector")]);
      const begun = strike(scene, random, new RegExp(process.instance), opening);
      return { ...begun, over: process.kill("SIGKILL").then(() => begun.over) };
    },
  },
  {
    name: "network partition",
    weight: 4,
    begin({ servers }, random) {
      const client = random.pick(["command-handler-command-handler-0", "command-handler", "command-service", "projector", "headwater"]);
      const directions = random.pick([["requests"], ["responses"], ["requests", "responses"]] as const);
      const durationMs = random.integer(1_000, 9_000);
      for (const proxy of servers.proxies) proxy.hold({ client: new RegExp(client), directions, durationMs });
      return { text: `${directions.join(" and ")} of ${client} for ${durationMs} ms`, over: delay(durationMs).then(() => true) };
    },
  },
  {
    name: "cut all connections",
    weight: 2,
    begin({ servers }, random) {
      const proxy = random.pick(servers.proxies);
      proxy.cut();
      return { text: proxy.address, over: Promise.resolve(true) };
    },
  },
  { name: "bad records", weight: 3, begin: (scene, random) => ({ text: "", over: poison(scene, random) }) },
];

/** Every connection of one of the two is reset, several times. */
function reset(server: string, proxiesOf: (servers: ChaosServers) => readonly { reset(): void }[]): Fault {
  return {
    name: `reset connections to ${server}`,
    weight: 2,
    begin({ servers }, random) {
      const times = random.integer(1, 6);
      const over = (async () => {
        for (let time = 0; time < times; time += 1) {
          for (const proxy of proxiesOf(servers)) proxy.reset();
          await delay(random.integer(100, 900));
        }
        return true;
      })();
      return { text: `${times} times`, over };
    },
  };
}

/** Who takes writes; where there is nobody now, any member. */
async function primaryOf({ servers: { mongo } }: Scene): Promise<MongoMember> {
  const member = (await mongo.primary()) ?? mongo.members[0];
  if (member === undefined) throw new Error("the replica set has no members of ours");
  return member;
}

function ended(name: SupervisedName, signal: "SIGTERM" | "SIGKILL", weight: number): Fault {
  return {
    name: `${signal === "SIGKILL" ? "kill" : "stop"} ${name}`,
    weight,
    begin({ system }, random) {
      const process = random.pick(system.named(name));
      const over = process.isUp ? process.kill(signal).then(() => true) : Promise.resolve(false);
      return { text: process.instance, over };
    },
  };
}

function killedAt(name: SupervisedName, points: readonly Point[], weight: number): Fault {
  return {
    name: `kill ${name} at a point`,
    weight,
    begin({ system }, random) {
      const process = random.pick(system.named(name));
      const point = random.pick(points);
      return { text: textOf(process, point), over: ordered(process, { ...point, stallMs: null }) };
    },
  };
}

function stalledAt(
  name: SupervisedName,
  points: readonly Point[],
  range: { readonly min: number; readonly max: number },
  weight: number,
): Fault {
  return {
    name: `stall ${name} ${range === PAST_SESSION ? "past its session " : ""}at a point`,
    weight,
    begin({ system }, random) {
      const process = random.pick(system.named(name));
      const point = random.pick(points);
      const stallMs = random.integer(range.min, range.max);
      const over = ordered(process, { ...point, stallMs }).then(async (hasBegun) => {
        if (hasBegun) await delay(stallMs);
        return hasBegun;
      });
      return { text: `${textOf(process, point)} for ${stallMs} ms`, over };
    },
  };
}

function frozen(name: SupervisedName, range: { readonly min: number; readonly max: number }, weight: number): Fault {
  return {
    name: `freeze ${name}${range === PAST_SESSION ? " past its session" : ""}`,
    weight,
    begin({ system }, random) {
      const process = random.pick(system.named(name));
      const forMs = random.integer(range.min, range.max);
      return { text: `${process.instance} for ${forMs} ms`, over: process.freeze(forMs).then(() => true) };
    },
  };
}

function lost(client: string, apis: readonly Api[], weight: number): Fault {
  return { name: `loss of ${client}`, weight, begin: (scene, random) => strike(scene, random, new RegExp(`headwater-(${client})`), apis) };
}

function strike({ servers }: Scene, random: Random, client: RegExp, apis: readonly Api[]): Begun {
  const api = random.pick(apis);
  const loss = random.pick(losses);
  const delayMs = random.pick([1_000, 4_000, 11_000]);
  const signal = AbortSignal.timeout(POINT_DEADLINE_MS);
  // Which broker it goes to, nobody knows: the first takes it from the others.
  const called = new AbortController();
  const both = AbortSignal.any([signal, called.signal]);
  const struck = servers.proxies.map((proxy) => proxy.strike({ api, client, loss, delayMs }, both));
  const over = new Promise<boolean>((resolve) => {
    for (const each of struck) void each.then((hasStruck) => hasStruck && resolve(true));
    signal.addEventListener("abort", () => resolve(false));
  });
  return {
    text: `${api} of ${client.source}: ${loss}${/late|delayed/.test(loss) ? ` by ${delayMs} ms` : ""}`,
    over: over.finally(() => called.abort()),
  };
}

function ordered(process: SupervisedProcess, order: Parameters<SupervisedProcess["order"]>[0]): Promise<boolean> {
  return process.isUp ? process.order(order, AbortSignal.timeout(POINT_DEADLINE_MS)) : Promise.resolve(false);
}

function textOf({ instance }: SupervisedProcess, { operation, moment }: Point): string {
  return `${instance}, ${moment} ${operation}`;
}

export function serverFault({ busy }: Scene, server: string, text: string, run: () => Promise<void>): Begun {
  if (busy.has(server)) return { text, over: Promise.resolve(false) };
  busy.add(server);
  const over = run()
    .then(() => true)
    .finally(() => busy.delete(server));
  return { text, over };
}

async function freeze(pid: number, milliseconds: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await delay(milliseconds);
  process.kill(pid, "SIGCONT");
}

/** Records that are no commands, in any partition. */
async function poison({ servers, partitions, onPoison }: Scene, random: Random): Promise<boolean> {
  const producer = new Kafka({ brokers: [...servers.addresses], clientId: "chaos-poison", logLevel: 0, retry: { retries: 0 } }).producer();
  try {
    await producer.connect();
    const bad = [
      { key: Buffer.from("bad"), value: Buffer.of(255) },
      { key: Buffer.from("__position"), value: Buffer.from("{}") },
      { key: Buffer.of(0xff, 0xfe), value: Buffer.alloc(0) },
      { key: null, value: Buffer.from("no key") },
      { key: Buffer.from("bad"), value: null },
    ];
    for (const message of bad) {
      await producer.send({ topic: orderTopics.commands.name, messages: [{ ...message, partition: random.integer(0, partitions - 1) }] });
      onPoison();
    }
    return true;
  } catch {
    return false;
  } finally {
    await producer.disconnect().catch(() => undefined);
  }
}
