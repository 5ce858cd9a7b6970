/** What a broker that is not the leader any more does to who takes a partition over; docs/decisions/kafkajs-and-its-hazards.md has the list. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KafkaCluster, startKafkaCluster } from "../../../test/support/kafka-server.ts";
import { kafka } from "../../../test/support/servers.ts";
import { FencedError, LogUnavailableError, type Owner } from "../../cqrs/log.ts";
import { elapsed, joinAgain, openedAdmin, openedLog, untilJoined } from "./testing/opened-log.ts";

/** Others lead, and the former owner has written behind the frozen leader's back; his requests to that one time out first. */
const TIMEOUT_MS = 300_000;

const NOTICE_MS = 3_000;

const POLL_MS = 500;

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
      const owner = await joining(() => former.log.own({ ...options, instance: "former" }));
      await note("first", [owner], former.topics.state);
      const successor = await joining(() => next.log.own({ ...options, instance: "next" }));
      // The former owner learns of the successor, and keeps the partition.
      await owner.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: NOTICE_MS });
      const admin = await openedAdmin(former.config);
      const { topics } = await admin.fetchTopicMetadata({ topics: [former.topics.state] });
      const leader = cluster.nodes[(topics[0]?.partitions[0]?.leader ?? 0) - 1];
      process.kill(leader?.pid ?? Number.NaN, "SIGSTOP");
      try {
        // The successor does it where a busy machine has let the former owner's session run out.
        await note("second", [owner, successor], former.topics.state);
        const left = owner.member[Symbol.asyncDispose]();
        const noted = note("third", [successor], former.topics.state);
        await elapsed(ASKING_MS);
        process.kill(leader?.pid ?? Number.NaN, "SIGCONT");
        await Promise.allSettled([left]);
        expect(await noted).toEqual(["first", "second", "third"]);
      } finally {
        process.kill(leader?.pid ?? Number.NaN, "SIGCONT");
      }
    },
    TIMEOUT_MS,
  );
});

/** A member of the group, which joins again when its membership is lost. */
interface Joining {
  member: Owner;
  /** Whether it has taken the partition over. */
  isOwner: boolean;
  readonly join: () => Promise<Owner>;
}

async function joining(join: () => Promise<Owner>): Promise<Joining> {
  return { member: await untilJoined(join), isOwner: false, join };
}

/**
 * Adds a word to the state once, by the member that owns the partition, again whenever that fails: what failed may have been written even so.
 * Returns all words.
 */
async function note(word: string, members: readonly Joining[], topic: string): Promise<readonly string[]> {
  for (;;) {
    for (const each of members) {
      try {
        const { gained } = await each.member.poll({ maxRecords: 1, maxBytes: 1_000_000, waitMs: POLL_MS });
        each.isOwner ||= gained.length > 0;
        if (each.isOwner) return await tryToNote(word, each.member, topic);
      } catch (error) {
        if (!(error instanceof FencedError || error instanceof LogUnavailableError)) throw error;
        each.isOwner = false;
        if (error.message.includes("the membership of")) each.member = await joinAgain(each.member, each.join);
        else each.member.reset();
        await new Promise(setImmediate);
      }
    }
  }
}

async function tryToNote(word: string, owner: Owner, topic: string): Promise<readonly string[]> {
  const [value] = await owner.load(0, ["words"]);
  const words = value === undefined ? [] : new TextDecoder().decode(value).split(" ");
  if (words.includes(word)) return words;
  const noted = [...words, word];
  const record = { topic, partition: 0, key: "words", value: new TextEncoder().encode(noted.join(" ")) };
  await owner.transact({ records: [record], consumed: new Map([[0, noted.length]]) });
  return noted;
}
