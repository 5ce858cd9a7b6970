/**
 * Membership of a consumer group: which partitions are this member's, in which generation. kafkajs only keeps the membership; its consumer
 * is paused everywhere and reads nothing.
 */

import { type ConsumeOptions, FencedError, LogUnavailableError } from "../../cqrs/log.ts";
import { namedAssigner } from "./assigner.ts";
import { generationOf, isReplaced, Kafka, type KafkaConfig, type MemberGeneration } from "./kafkajs.ts";

/** After so long without a heartbeat the coordinator gives the partitions to others. */
const SESSION_TIMEOUT_MS = 6_000;
/** Also how soon a member learns that another joined or left. */
const HEARTBEAT_MS = 500;
const REBALANCE_TIMEOUT_MS = 10_000;

/** How long the group's coordinator may be away before it is an outage and not an election. */
const OUTAGE_AFTER_MS = 30_000;

/** An assignment of the group. */
export interface Assignment extends MemberGeneration {
  readonly partitions: readonly number[];
}

export interface Membership extends AsyncDisposable {
  /** The latest assignment; undefined before the first. */
  readonly assignment: Assignment | undefined;
  /** Resolves when the assignment changes or the membership is lost for good. */
  readonly changed: Promise<void>;
  /** @throws {FencedError | LogUnavailableError} another joined under this name, or the membership was lost for good */
  check(): void;
}

export async function joinGroup(
  config: KafkaConfig,
  { group, topic, instance }: ConsumeOptions,
  outageAfterMs = OUTAGE_AFTER_MS,
): Promise<Membership> {
  const consumer = new Kafka(config).consumer({
    groupId: group,
    partitionAssigners: [namedAssigner(topic, instance, () => assignment?.partitions ?? [])],
    sessionTimeout: SESSION_TIMEOUT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    rebalanceTimeout: REBALANCE_TIMEOUT_MS,
    // A consumer that is paused everywhere sleeps so long between two looks at its heartbeat.
    maxWaitTimeInMs: HEARTBEAT_MS / 2,
    allowAutoTopicCreation: false,
    retry: { ...config.retry, restartOnFailure: () => Promise.resolve(mayRestart()) },
  });
  let assignment: Assignment | undefined;
  let failure: Error | undefined;
  let changed = Promise.withResolvers<void>();
  const announce = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  let troubleSinceMs: number | undefined;
  let leaving = false;
  const mayRestart = (): boolean => {
    troubleSinceMs ??= Date.now();
    return !leaving && Date.now() - troubleSinceMs < outageAfterMs;
  };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    troubleSinceMs = undefined;
    const partitions = payload.memberAssignment[topic] ?? [];
    consumer.pause([{ topic }]);
    if (isReplaced(payload.memberId))
      failure = new FencedError(`another ${instance} has joined ${group}: each instance needs a name of its own`);
    assignment = { memberId: payload.memberId, generation: generationOf(payload.memberId) ?? 0, partitions };
    announce();
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return;
    failure ??= new LogUnavailableError(`the membership of ${group} was lost: ${payload.error.message}`);
    announce();
  });
  await using opened = new AsyncDisposableStack();
  opened.defer(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatch: () => Promise.resolve() });
  const joined = opened.move();
  return {
    get assignment() {
      return assignment;
    },
    get changed() {
      return changed.promise;
    },
    check() {
      if (failure !== undefined) throw failure;
    },
    async [Symbol.asyncDispose]() {
      leaving = true;
      await joined.disposeAsync();
    },
  };
}
