/**
 * Membership of a consumer group: which partitions are this member's, in which generation. kafkajs only keeps the membership; its consumer
 * is paused everywhere and reads nothing.
 */

import type { Socket } from "node:net";
import { type ConsumeOptions, FencedError, LogRefusedError, LogUnavailableError } from "../../cqrs/log.ts";
import { namedAssigner } from "./assigner.ts";
import { inTermsOfThePort } from "./errors.ts";
import { generationOf, isReplaced, Kafka, type KafkaConfig, type MemberGeneration, socketFactory } from "./kafkajs.ts";

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
  /** @throws {FencedError | LogRefusedError | LogUnavailableError} another joined under this name, or the membership was lost for good */
  check(): void;
}

export async function joinGroup(
  config: KafkaConfig,
  { group, topic, instance }: ConsumeOptions,
  outageAfterMs = OUTAGE_AFTER_MS,
): Promise<Membership> {
  const { cut, ...connecting } = cuttable(config);
  const consumer = new Kafka({ ...config, ...connecting }).consumer({
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
    const known = inTermsOfThePort(payload.error, { group });
    failure ??=
      known instanceof LogRefusedError ? known : new LogUnavailableError(`the membership of ${group} was lost: ${payload.error.message}`);
    announce();
  });
  await using opened = new AsyncDisposableStack();
  // kafkajs does not stop a join that is under way: it would stay a member that nobody knows of.
  opened.defer(cut);
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

/** Connections that can be cut for good. */
function cuttable({ socketFactory: connect = socketFactory() }: KafkaConfig) {
  const sockets = new Set<Socket>();
  let isCut = false;
  return {
    socketFactory(options: Parameters<typeof connect>[0]): Socket {
      const socket = connect(options);
      if (isCut) return socket.destroy(new Error("the member has left"));
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}
