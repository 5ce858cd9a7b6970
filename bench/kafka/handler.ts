/**
 * The command handler alone: commands that wait, decided as fast as it can. Beside bare kafkajs that writes the same bytes in the same
 * transactions and decides nothing, and beside a Kafka Streams topology that decides the same orders.
 */

import type { Log } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { orderGroups, orderTopics } from "../../internal/orders/topics.ts";
import { startProcess } from "../../test/support/processes.ts";
import { count, untilConsumed } from "../catching-up.ts";
import { type Measurement, notMeasured, type Peer } from "../measurement.ts";
import { COMMANDS_PER_ORDER, commandRecord, REPLY_TO } from "../orders.ts";
import { median } from "../statistics.ts";
import { appendOrders } from "./fill.ts";
import { peerCommandRecord } from "./peer-commands.ts";
import { type KafkaBench, openLog } from "./stores.ts";
import { peerTopics, startKafkajs, startStreams, type Topology } from "./topologies.ts";

const COMMANDS = 200_000;
const QUICK_COMMANDS = 8_000;

const AIM_OF_KAFKAJS = 0.8;
const AIM_OF_STREAMS = 1.5;
const COMMIT_INTERVALS_MS = [100, 10];

/** How many records tell how large they are. */
const SAMPLE = 200;

export const handler: Measurement<KafkaBench> = {
  name: "handler",
  summary: "commands/s of the command handler alone, beside bare kafkajs and Kafka Streams",
  async run(bench) {
    const commands = bench.quick ? QUICK_COMMANDS : COMMANDS;
    const rounds: Round[] = [];
    for (let round = 1; round <= (bench.quick ? 1 : 2); round += 1) rounds.push(await measureRound(bench, commands / COMMANDS_PER_ORDER));
    return [
      {
        name: `handler, ${count(commands)} commands waiting`,
        value: median(rounds.map(({ own }) => own)),
        unit: "/s",
        beside: [
          { name: "bare kafkajs", value: median(rounds.map(({ bare }) => bare)), aim: AIM_OF_KAFKAJS },
          ...COMMIT_INTERVALS_MS.map((_, index) => streamsPeer(rounds.map(({ streams }) => streams[index]))),
        ],
      },
    ];
  },
};

interface Round {
  readonly own: number;
  readonly bare: number;
  readonly streams: readonly Peer[];
}

async function measureRound(bench: KafkaBench, orders: number): Promise<Round> {
  const { stores, progress } = bench;
  await stores.empty();
  await using log = await openLog(stores, [...Object.values(orderTopics), ...Object.values(peerTopics)]);
  await appendOrders(bench, log, { orders, recordOf: commandRecord });
  progress("handler");
  const own = await measureHandler(bench, log);
  const bytes = { event: await meanBytes(log, "events"), state: await meanBytes(log, "state"), reply: await meanBytes(log, "replies") };
  progress("bare kafkajs");
  const bare = await measureTopology(log, orderTopics.commands.name, () =>
    startKafkajs(bench, { commands: orderTopics.commands.name, bytes }),
  );
  await appendOrders(bench, log, { orders, recordOf: peerCommandRecord });
  const streams: Peer[] = [];
  for (const commitMs of COMMIT_INTERVALS_MS) streams.push(await measureStreams(bench, log, commitMs));
  return { own, bare, streams };
}

async function measureHandler({ stores }: KafkaBench, log: Log): Promise<number> {
  await using _handler = await startProcess("command-handler", stores);
  return await untilConsumed(log, { group: orderGroups.handler, topic: orderTopics.commands.name });
}

async function measureTopology(log: Log, topic: string, start: () => Promise<Topology>): Promise<number> {
  await using topology = await start();
  return await Promise.race([untilConsumed(log, { group: topology.group, topic }), topology.failed]);
}

async function measureStreams(bench: KafkaBench, log: Log, commitMs: number): Promise<Peer> {
  const name = `Kafka Streams, commit ${commitMs} ms`;
  bench.progress(name);
  try {
    return { name, value: await measureTopology(log, peerTopics.commands.name, () => startStreams(bench, commitMs)) };
  } catch (error) {
    return { name, note: notMeasured(error) };
  }
}

function streamsPeer(found: readonly (Peer | undefined)[]): Peer {
  const values = found.flatMap((peer) => peer?.value ?? []);
  const [first] = found;
  if (first === undefined) throw new Error("there was no round");
  return values.length < found.length ? first : { name: first.name, value: median(values), aim: AIM_OF_STREAMS };
}

/** Of the first records of a partition, whatever they are: state as it was written, before compaction. */
async function meanBytes(log: Log, topic: "events" | "state" | "replies"): Promise<number> {
  const stop = new AbortController();
  const sizes: number[] = [];
  const partition = topic === "replies" ? partitionOf(REPLY_TO, log.partitions) : 0;
  const batches = await log.tail({ topic: orderTopics[topic].name, partition, from: 0, signal: stop.signal });
  for await (const batch of batches) {
    sizes.push(...batch.map(({ value }) => value.length));
    if (sizes.length >= SAMPLE) break;
  }
  return Math.round(sizes.reduce((sum, size) => sum + size, 0) / sizes.length);
}
