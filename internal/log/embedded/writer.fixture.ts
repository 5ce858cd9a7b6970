/** A process that writes to a log without an end and prints what was acknowledged, for tests that end it. */

import { openEmbeddedLog } from "./open.ts";
import { type Acknowledged, partitions, topics } from "./testing/writer-log.ts";

const log = await openEmbeddedLog({ directory: process.argv[2] ?? "", partitions, topics: Object.values(topics) });
const value = new Uint8Array(Number(process.argv[3] ?? 100));
const name = process.pid;
const owner = await log.own({ group: "writers", instance: "writer", topic: topics.commands.name, stateTopic: topics.state.name });
await owner.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: 1_000 });
const [before] = await owner.load(0, ["transactions"]);
let transactions = before === undefined ? 0 : Number(new TextDecoder().decode(before));

try {
  await Promise.all([transact(), ...Array.from({ length: 8 }, (_, writer) => append(writer))]);
} catch (error) {
  print({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error), ends: await log.ends(topics.commands.name) });
  process.exitCode = 3;
  await log[Symbol.asyncDispose]();
}

async function append(writer: number): Promise<never> {
  const partition = writer % partitions;
  for (let count = 0; ; count += 1) {
    const key = `${name}-${writer}-${count}`;
    const [offset = -1] = await log.append([{ topic: topics.commands.name, partition, key, value }]);
    print({ key, partition, offset });
  }
}

async function transact(): Promise<never> {
  for (;;) {
    const number = transactions + 1;
    const key = String(number);
    const records = [0, 1].map((partition) => ({ topic: topics.events.name, partition, key, value }));
    const state = { topic: topics.state.name, partition: 0, key: "transactions", value: new TextEncoder().encode(key) };
    await owner.transact({ records: [...records, state], consumed: new Map([[0, number]]) });
    transactions = number;
    print({ transaction: number });
  }
}

function print(acknowledged: Acknowledged): void {
  process.stdout.write(`${JSON.stringify(acknowledged)}\n`);
}
