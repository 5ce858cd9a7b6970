/**
 * A process that reads all records of a topic from its beginning, waits before the second poll until no more come, and prints what memory it took:
 * `node large-records.fixture.ts host:port topic partitions records`.
 */

import { openKafkaLog } from "../open.ts";

/** What has not grown for so long holds what it will hold. */
const SETTLED_MS = 2_000;

const LIMITS = { maxRecords: 1_000, maxBytes: 4 * 1024 * 1024, waitMs: 1_000 } as const;

export interface ReadCost {
  readonly records: number;
  readonly mostAtOnce: number;
  readonly peakMiB: number;
}

const [, , broker = "", topic = "", partitions = "", expected = ""] = process.argv;
await using log = await openKafkaLog({
  brokers: [broker],
  clientId: "large-records",
  partitions: Number(partitions),
  stateDirectory: null,
  topics: [{ name: topic, retention: "forever" }],
});
await using consumer = await log.consume({ group: `${topic}.group`, topic, instance: "one" });
let records = 0;
let mostAtOnce = 0;
while (records < Number(expected)) {
  const poll = await consumer.poll(LIMITS);
  for (const partition of poll.gained) consumer.seek(partition, 0);
  records += poll.records.length;
  mostAtOnce = Math.max(mostAtOnce, poll.records.length);
  if (records === poll.records.length && records > 0) await untilNoMoreComes();
}

const cost: ReadCost = { records, mostAtOnce, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) };
process.stdout.write(JSON.stringify(cost));

async function untilNoMoreComes(): Promise<void> {
  let most = 0;
  for (let sinceMs = performance.now(); performance.now() - sinceMs < SETTLED_MS; ) {
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS / 20));
    const { rss } = process.memoryUsage();
    if (rss <= most) continue;
    most = rss;
    sinceMs = performance.now();
  }
}
