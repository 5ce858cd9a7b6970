/** The consumer port: what a member's partitions hold, from where it positioned them. */

import { type ConsumeOptions, type Consumer, FencedError, type LogRecord, LogRefusedError, type Poll } from "../../cqrs/log.ts";
import { Fetcher } from "./fetcher.ts";
import { createCluster, type KafkaConfig } from "./kafkajs.ts";
import { type Assignment, joinGroup, type Membership } from "./membership.ts";

/** A consumer, and what an owner builds on. */
export interface GroupConsumer extends Consumer {
  /** The assignment that the last poll reported. */
  readonly reported: Assignment | undefined;
  /** The generation of the last poll. */
  readonly generation: number;
  readonly membership: Membership;
}

/** Of a topic that has so many partitions. */
export async function startConsumer(config: KafkaConfig, options: ConsumeOptions, partitions: number): Promise<GroupConsumer> {
  const { group, topic } = options;
  const fetcher = new Fetcher(createCluster(config), topic);
  await using opened = new AsyncDisposableStack();
  opened.defer(() => fetcher.close());
  await fetcher.open();
  const membership = await joinGroup(config, options);
  opened.move();
  let reported: Assignment | undefined;
  let known: readonly number[] = [];
  let generation = 0;
  let leaving: Promise<unknown> | undefined;
  void wakeOnChanges();

  return {
    membership,
    get reported() {
      return reported;
    },
    get generation() {
      return generation;
    },
    seek(partition, offset) {
      if (known.includes(partition)) fetcher.seek(partition, offset);
    },
    reset() {
      for (const partition of known) fetcher.drop(partition);
      known = [];
      reported = undefined;
      fetcher.wake();
    },
    async poll({ waitMs, ...limits }) {
      const deadline = timeout(waitMs);
      try {
        while (true) {
          if (leaving !== undefined) throw new FencedError(`this member has left ${group}`);
          membership.check();
          if (membership.assignment !== undefined && membership.assignment !== reported) {
            const changes = change(membership.assignment);
            if (changes.gained.length + changes.lost.length > 0) return { ...changes, records: [] };
          }
          const records = fetcher.take(limits);
          if (records.length > 0 || deadline.over) return poll([], [], records);
          await Promise.race([fetcher.changed, deadline.passed]);
        }
      } finally {
        deadline.cancel();
      }
    },
    async [Symbol.asyncDispose]() {
      leaving ??= Promise.all([membership[Symbol.asyncDispose](), fetcher.close()]);
      await leaving;
    },
  };

  async function wakeOnChanges(): Promise<void> {
    while (leaving === undefined) {
      await membership.changed;
      fetcher.wake();
    }
  }

  /** A partition stays without a break only from one generation to the next of the same member. */
  function change(next: Assignment): Pick<Poll, "generation" | "gained" | "lost"> {
    const added = next.partitions.find((partition) => partition >= partitions);
    if (added !== undefined) {
      throw new LogRefusedError(
        `the topic ${topic} has a partition ${added}, but had ${partitions} partitions when this process began. Partitions must not be added, ` +
          "since keys would change theirs: export the log and import it into new topics",
      );
    }
    const unbroken = reported !== undefined && reported.memberId === next.memberId && next.generation === reported.generation + 1;
    const kept = unbroken ? known.filter((partition) => next.partitions.includes(partition)) : [];
    const lost = known.filter((partition) => !kept.includes(partition));
    const gained = next.partitions.filter((partition) => !kept.includes(partition));
    for (const partition of lost) fetcher.drop(partition);
    reported = next;
    known = next.partitions;
    return poll(gained, lost, []);
  }

  function poll(gained: readonly number[], lost: readonly number[], records: readonly LogRecord[]): Poll {
    // A member that was thrown out comes back under another id, in a generation that may be any.
    generation = Math.max(generation + (gained.length + lost.length > 0 ? 1 : 0), reported?.generation ?? 0);
    return { generation, gained, lost, records };
  }
}

interface Timeout {
  readonly passed: Promise<void>;
  readonly over: boolean;
  cancel(): void;
}

function timeout(milliseconds: number): Timeout {
  let over = false;
  const passed = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    over = true;
    passed.resolve();
  }, milliseconds);
  return {
    passed: passed.promise,
    get over() {
      return over;
    },
    cancel: () => clearTimeout(timer),
  };
}
