import { randomUUID } from "node:crypto";
import { describe, expect, it, onTestFinished } from "vitest";
import { startKafka } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, LogUnavailableError, type Owner } from "../../cqrs/log.ts";
import { openKafkaLog } from "./open.ts";
import { joinAgain, untilJoined } from "./testing/opened-log.ts";

/** What is written before the broker is killed, and again after it is back. */
const ROUNDS = 20;
const WAIT_MS = 200;

describe.skipIf(kafka?.kind !== "program")("a broker that is killed", () => {
  it("has everything that it acknowledged, and owner, tail and append go on by themselves", async () => {
    await using server = await startKafka();
    const name = randomUUID();
    const topics = { events: `${name}.events`, out: `${name}.out`, state: `${name}.state` };
    const log = await openKafkaLog({
      brokers: server.brokers,
      clientId: name,
      partitions: 1,
      stateDirectory: null,
      topics: [
        { name: topics.events, retention: "forever" },
        { name: topics.out, retention: "forever" },
        { name: topics.state, retention: "latest" },
      ],
    });
    onTestFinished(() => log[Symbol.asyncDispose]());
    const join = (): Promise<Owner> => log.own({ group: name, instance: "one", topic: topics.events, stateTopic: topics.state });
    const controller = new AbortController();
    onTestFinished(() => controller.abort());
    const tail = await log.tail({ topic: topics.out, partition: 0, from: 0, signal: controller.signal });
    const acknowledged: string[] = [];
    const append = async (key: string): Promise<void> => {
      await log.append([{ topic: topics.events, partition: 0, key, value: encode(key) }]);
      acknowledged.push(key);
    };
    const copying = copy(await untilJoined(join), { join, out: topics.out, state: topics.state, signal: controller.signal });

    for (let round = 0; round < ROUNDS; round += 1) await append(`before-${round}`);
    await server.kill();
    const restarted = server.restart();
    const failure = await append("while it was away").catch((error: unknown) => error);
    expect(failure === undefined || failure instanceof LogUnavailableError).toBe(true);
    await restarted;
    for (let round = 0; round < ROUNDS; round += 1) await append(`after-${round}`);
    await append("last");

    const copied: string[] = [];
    for await (const batch of tail) {
      copied.push(...batch.map(({ key }) => key));
      if (copied.at(-1) === "last") break;
    }
    controller.abort();
    await copying;
    // What was not acknowledged may have been written even so, once or more than once.
    const certain = copied.filter((key) => key !== "while it was away" || acknowledged.includes(key));
    expect(new Set(certain)).toEqual(new Set(acknowledged));
    expect(copied).toEqual(await keysOf(log, topics.events));
  });
});

interface Copying {
  readonly join: () => Promise<Owner>;
  readonly out: string;
  readonly state: string;
  readonly signal: AbortSignal;
}

/** Copies the partition with exactly-once effect, and goes on where the state says after whatever happens. */
async function copy(first: Owner, { join, out, state, signal }: Copying): Promise<void> {
  let owner = first;
  while (!signal.aborted) {
    try {
      const poll = await owner.poll({ maxRecords: 10, maxBytes: 1_000_000, waitMs: WAIT_MS });
      for (const partition of poll.gained) {
        const [position] = await owner.load(partition, ["position"]);
        owner.seek(partition, Number(decode(position) ?? 0));
      }
      const next = (poll.records.at(-1)?.offset ?? -1) + 1;
      if (next === 0) continue;
      const copies = poll.records.map(({ key, value }) => ({ topic: out, partition: 0, key, value }));
      await owner.transact({
        records: [...copies, { topic: state, partition: 0, key: "position", value: encode(String(next)) }],
        consumed: new Map([[0, next]]),
      });
    } catch (error) {
      if (!(error instanceof FencedError || error instanceof LogUnavailableError)) throw error;
      // An outage that was too long for the membership: a process would end here, and start again.
      if (error.message.includes("the membership of")) owner = await joinAgain(owner, join);
      else owner.reset();
      // What fails at once, again and again, would let nothing else have its turn.
      await new Promise(setImmediate);
    }
  }
  await owner[Symbol.asyncDispose]();
}

async function keysOf(log: Awaited<ReturnType<typeof openKafkaLog>>, topic: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const batch of await log.tail({ topic, partition: 0, from: 0, signal: new AbortController().signal })) {
    keys.push(...batch.map(({ key }) => key));
    if (keys.at(-1) === "last") break;
  }
  return keys;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function decode(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : new TextDecoder().decode(value);
}
