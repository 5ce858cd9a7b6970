/**
 * Commands offered at a rate, whether or not those before them have been answered: what a caller waits who comes at his own time. The bare
 * topologies are measured at the same rates, from the append of a command to its reply: no server stands between.
 */

import { type Latency, notMeasured, type Peer, type Row } from "../measurement.ts";
import { COMMANDS_PER_ORDER } from "../orders.ts";
import { medianLatency } from "../statistics.ts";
import { type Contender, startDriver, startEchoServer, startHeadwater } from "./contenders.ts";
import type { KafkaBench } from "./stores.ts";
import { peerTopics, startKafkajs, startStreams } from "./topologies.ts";

const RATES = [500, 1_000];

/** At this rate a decided command is to be faster than a bare topology of Kafka Streams, at p50 and at p99. */
const AIM_RATE = 500;

/** Records about as large as those that the handler writes for these commands. */
const BARE_BYTES = { event: 230, state: 600, reply: 150 } as const;

interface Entry {
  readonly name: string;
  readonly kind: "own" | "ceiling" | "peer";
  readonly start: (bench: KafkaBench) => Promise<Contender>;
}

const headwater: Entry = { name: "offered", kind: "own", start: (bench) => startHeadwater(bench, "write side") };
const withReadSide: Entry = { name: "offered, read side at work", kind: "own", start: (bench) => startHeadwater(bench, "both sides") };

const others: readonly Entry[] = [
  { name: "gRPC echo", kind: "ceiling", start: startEchoServer },
  {
    name: "bare kafkajs",
    kind: "ceiling",
    start: (bench) => startDriver(bench, () => startKafkajs(bench, { commands: peerTopics.commands.name, bytes: BARE_BYTES })),
  },
  ...[100, 10].map(
    (commitMs): Entry => ({
      name: `Kafka Streams, commit ${commitMs} ms`,
      kind: "peer",
      start: (bench) => startDriver(bench, () => startStreams(bench, commitMs)),
    }),
  ),
];

/** The latencies of a contender's rounds per rate, or why there are none. */
type Found = ReadonlyMap<number, readonly Latency[]> | string;

export async function measureOffered(bench: KafkaBench): Promise<readonly Row[]> {
  const found = new Map<Entry, Found>();
  for (let round = 1; round <= (bench.quick ? 1 : 2); round += 1) {
    for (const entry of [headwater, withReadSide, ...others]) {
      bench.progress(`commands at ${RATES.join(" and ")}/s, round ${round}: ${entry.name}`);
      const before = found.get(entry) ?? new Map<number, readonly Latency[]>();
      if (typeof before !== "string") found.set(entry, await measureRound(bench, entry, before));
    }
  }
  return RATES.flatMap((rate) => [...rowsOf(found, rate, headwater, others), ...rowsOf(found, rate, withReadSide, [])]);
}

/** A peer that cannot run is reported in its place; Headwater that cannot run fails the run. */
async function measureRound(bench: KafkaBench, { kind, start }: Entry, before: Exclude<Found, string>): Promise<Found> {
  const [warmUpSeconds, seconds] = bench.quick ? [1, 1] : [6, 10];
  await bench.stores.empty();
  try {
    await using contender = await start(bench);
    const offer = (prefix: string, perSecond: number, forSeconds: number): Promise<Latency> =>
      contender.offer({ prefix, perSecond, orders: Math.ceil((perSecond * forSeconds) / COMMANDS_PER_ORDER) });
    await offer("warm-up", AIM_RATE, warmUpSeconds);
    const after = new Map(before);
    for (const rate of RATES) after.set(rate, [...(before.get(rate) ?? []), await offer(`at-${rate}`, rate, seconds)]);
    return after;
  } catch (error) {
    if (kind !== "peer") throw error;
    return notMeasured(error);
  }
}

function rowsOf(found: ReadonlyMap<Entry, Found>, rate: number, own: Entry, peers: readonly Entry[]): readonly Row[] {
  const latency = latencyOf(found.get(own), rate);
  if (typeof latency === "string") return [];
  return (["p50Ms", "p99Ms"] as const).map((percentile) => ({
    name: `${rate}/s ${own.name}, ${percentile.slice(0, 3)}`,
    value: latency[percentile],
    unit: "ms",
    latency,
    beside: peers.map((entry): Peer => {
      const other = latencyOf(found.get(entry), rate);
      if (typeof other === "string") return { name: entry.name, note: other };
      return { name: entry.name, value: other[percentile], ...(entry.kind === "peer" && rate === AIM_RATE ? { limit: 1 } : {}) };
    }),
  }));
}

function latencyOf(found: Found | undefined, rate: number): Latency | string {
  return typeof found === "string" ? found : medianLatency(found?.get(rate) ?? []);
}
