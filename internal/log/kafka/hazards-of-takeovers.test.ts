/** What a broker that is not the leader any more does to who takes a partition over; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, LogUnavailableError, type Owner } from "../../cqrs/log.ts";
import { elapsed, openedAdmin, openedLog, tookOver } from "./testing/opened-log.ts";

/** Others lead, and the former owner has written behind the frozen leader's back; his requests to that one time out first. */
const TIMEOUT_MS = 180_000;

const NOTICE_MS = 3_000;

/** For the new owner to ask the frozen leader where the state ends. */
const ASKING_MS = 3_000;

describe.skipIf(kafka?.kind !== "program")("a partition that is taken over", () => {
  let cluster: KafkaCluster;
  beforeAll(async () => {
    cluster = await startKafkaCluster(3);
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it(
    "is decided with all of its state, although a leader that was replaced unknowingly tells an end that was passed",
    async () => {
      const name = randomUUID();
      const former = await openedLog(cluster, 1, name);
      const next = await openedLog(cluster, 1, name);
      const options = { group: former.group, topic: former.topics.events, stateTopic: former.topics.state };
      const owner = await counting(() => former.log.own({ ...options, instance: "former" }));
      await tookOver(owner.member);
      await countUp(owner, former.topics.state);
      const successor = await counting(() => next.log.own({ ...options, instance: "next" }));
      // The former owner learns of the successor, and keeps the partition.
      await owner.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: NOTICE_MS });
      const admin = await openedAdmin(former.config);
      const { topics } = await admin.fetchTopicMetadata({ topics: [former.topics.state] });
      const leader = cluster.nodes[(topics[0]?.partitions[0]?.leader ?? 0) - 1];
      process.kill(leader?.pid ?? Number.NaN, "SIGSTOP");
      try {
        await countUp(owner, former.topics.state);
        const left = owner.member[Symbol.asyncDispose]();
        const counted = tookOver(successor.member).then(() => countUp(successor, former.topics.state));
        await elapsed(ASKING_MS);
        process.kill(leader?.pid ?? Number.NaN, "SIGCONT");
        await left;
        expect(await counted).toBe(3);
      } finally {
        process.kill(leader?.pid ?? Number.NaN, "SIGCONT");
      }
    },
    TIMEOUT_MS,
  );
});

/** A member of the group, which joins again when its membership is lost. */
interface Counting {
  member: Owner;
  readonly join: () => Promise<Owner>;
}

async function counting(join: () => Promise<Owner>): Promise<Counting> {
  return { member: await join(), join };
}

/** Adds one to a number in the state, and begins anew whenever that fails. Returns the new number. */
async function countUp(counter: Counting, topic: string): Promise<number> {
  for (;;) {
    try {
      return await tryToCountUp(counter.member, topic);
    } catch (error) {
      if (!(error instanceof FencedError || error instanceof LogUnavailableError)) throw error;
      counter.member.reset();
      await tookOver(counter.member).catch(() => joinAgain(counter));
    }
  }
}

/** A member that was lost for good says so at once, whatever it is asked. */
async function joinAgain(counter: Counting): Promise<void> {
  await Promise.allSettled([counter.member[Symbol.asyncDispose]()]);
  counter.member = await counter.join();
  await tookOver(counter.member);
}

async function tryToCountUp(owner: Owner, topic: string): Promise<number> {
  const [value] = await owner.load(0, ["count"]);
  const count = Number(new TextDecoder().decode(value)) + 1;
  const record = { topic, partition: 0, key: "count", value: new TextEncoder().encode(String(count)) };
  await owner.transact({ records: [record], consumed: new Map([[0, count]]) });
  return count;
}
