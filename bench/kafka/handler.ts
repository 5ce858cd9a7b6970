/**
 * The command handler alone: commands that wait, decided as fast as it can. Beside bare kafkajs that writes the same bytes in the same
 * transactions and decides nothing, and beside a Kafka Streams topology that decides the same orders.
 */

import type { Log } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { orderGroups, orderTopics } from "../../test/support/order-domain.ts";
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

/** Enough for the broker's code to be compiled, that of all contenders' requests. */
const WARM_UP_COMMANDS = 80_000;

/** Even, so that nobody has his turn before the others more often than behind them. */
const ROUNDS = 4;

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
    const entries = contendersOf(bench).map((contender) => ({ ...contender, figures: [] as Figure[] }));
    // Round 0 is the warm-up. Every second round goes backwards: nobody meets the broker as the same neighbour leaves it each time.
    for (let round = 0; round <= (bench.quick ? 1 : ROUNDS); round += 1) {
      await using log = await openWaiting(bench, round === 0 ? Math.min(WARM_UP_COMMANDS, commands) : commands);
      for (const { name, measure, figures } of round % 2 === 0 ? entries : entries.toReversed()) {
        bench.progress(`${name}, ${round === 0 ? "warm-up" : `round ${round}`}`);
        const figure = await measure(log);
        if (round > 0) figures.push(figure);
      }
    }
    const [own, ...beside] = entries.map(peerOf);
    return [{ ...own, name: `handler, ${count(commands)} commands waiting`, unit: "/s", beside }];
  },
};

interface Contender {
  readonly name: string;
  readonly aim?: number;
  /** Has all commands that wait decided. */
  readonly measure: (log: Log) => Promise<Figure>;
}

/** Commands per second, or why there are none. */
type Figure = Pick<Peer, "value" | "note">;

/** The handler comes first: bare kafkajs writes as many bytes as it. */
function contendersOf(bench: KafkaBench): readonly Contender[] {
  let bytes: RecordBytes | undefined;
  const commands = orderTopics.commands.name;
  const own: Contender = {
    name: "command handler",
    async measure(log) {
      await using _handler = await startProcess("command-handler", bench.stores);
      return { value: await untilConsumed(log, { group: orderGroups.handler, topic: commands }) };
    },
  };
  const bare: Contender = {
    name: "bare kafkajs",
    aim: AIM_OF_KAFKAJS,
    async measure(log) {
      const known = (bytes ??= await recordBytes(log));
      return { value: await consumeAll(log, commands, () => startKafkajs(bench, { commands, bytes: known })) };
    },
  };
  const streams = COMMIT_INTERVALS_MS.map(
    (commitMs): Contender => ({
      name: `Kafka Streams, commit ${commitMs} ms`,
      aim: AIM_OF_STREAMS,
      async measure(log) {
        try {
          return { value: await consumeAll(log, peerTopics.commands.name, () => startStreams(bench, commitMs)) };
        } catch (error) {
          return { note: notMeasured(error) };
        }
      },
    }),
  );
  return [own, bare, ...streams];
}

/** Empty topics, but for the commands of everybody. */
async function openWaiting(bench: KafkaBench, commands: number): Promise<Log> {
  await bench.stores.empty();
  const log = await openLog(bench.stores, [...Object.values(orderTopics), ...Object.values(peerTopics)]);
  const orders = commands / COMMANDS_PER_ORDER;
  await appendOrders(bench, log, { orders, recordOf: commandRecord });
  await appendOrders(bench, log, { orders, recordOf: peerCommandRecord });
  return log;
}

async function consumeAll(log: Log, topic: string, start: () => Promise<Topology>): Promise<number> {
  await using topology = await start();
  return await Promise.race([untilConsumed(log, { group: topology.group, topic }), topology.failed]);
}

function peerOf({ name, aim, figures }: Contender & { readonly figures: readonly Figure[] }): Peer {
  const values = figures.flatMap(({ value }) => value ?? []);
  if (values.length < figures.length) return { name, ...figures.find(({ value }) => value === undefined) };
  return { name, value: median(values), ...(aim === undefined ? {} : { aim }) };
}

type RecordBytes = Parameters<typeof startKafkajs>[1]["bytes"];

async function recordBytes(log: Log): Promise<RecordBytes> {
  return { event: await meanBytes(log, "events"), state: await meanBytes(log, "state"), reply: await meanBytes(log, "replies") };
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
